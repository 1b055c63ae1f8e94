/* SPDX-License-Identifier: MIT */
#include "vault_test.h"

#include "record_images.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct vf_identity *admin[ADMINS];

static struct vf_why ok_why;
struct vf_why *const why = &ok_why;

static const char *const names[ADMINS] = {"alice", "bob", "carol"};

int admins_set_up(size_t arena)
{
    /* These tests make hundreds of vaults; what they look for does not depend on a disk that is slow to sync. */
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    OK(vf_crypto_init(arena, why));
    for (unsigned i = 0; i < ADMINS; i++)
        OK(vf_identity_new(VF_ROLE_ADMIN, names[i], &admin[i], why));
    return 0;
}

int vault_set_up(void **state)
{
    (void)state;
    return admins_set_up(VF_ARENA_TOOL);
}

int vault_tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ADMINS; i++) {
        vf_identity_free(admin[i]);
        admin[i] = NULL;
    }
    vf_crypto_done();
    return 0;
}

const struct vf_identity_pub *pub_of(unsigned who)
{
    return vf_identity_pub_get(admin[who]);
}

void place_make(struct place *p, unsigned nadmins, unsigned threshold)
{
    struct vf_identity_pub pubs[ADMINS];
    struct vf_vault_new what = {
        .force_name = "Example Constabulary", .admins = pubs, .nadmins = nadmins, .threshold = threshold};

    scratch_make(&p->dir);
    (void)scratch_path(&p->dir, "vault", p->vault, sizeof(p->vault));
    for (unsigned i = 0; i < nadmins; i++)
        pubs[i] = *pub_of(i);
    OK(vf_vault_create(p->vault, &what, admin[ALICE], why));
}

void place_done(struct place *p)
{
    scratch_remove(&p->dir);
}

char *place_path(const struct place *p, const char *name, char out[400])
{
    (void)snprintf(out, 400, "%s/%s", p->dir.path, name);
    return out;
}

struct vf_vault *open_as(const struct place *p, enum vf_vault_mode mode, unsigned who)
{
    struct vf_vault *v = NULL;

    OK(vf_vault_open(p->vault, mode, mode == VF_VAULT_PUBLIC ? NULL : admin[who], &v, why));
    return v;
}

void close_vault(struct vf_vault *v)
{
    OK(vf_vault_close(v, why));
}

void put_file(const struct place *p, const char *name, const void *data, size_t len)
{
    char path[400];

    (void)place_path(p, name, path);
    OK(vf_file_write(path, data, len, 0600, true, why));
}

char *get_file(const char *path, size_t *ret_len)
{
    struct vf_buf b = {0};

    OK(vf_file_read(path, (size_t)1 << 30, &b, why));
    char *out = malloc(b.len + 1);
    if (out == NULL)
        abort();
    if (b.len > 0)
        memcpy(out, b.data, b.len);
    out[b.len] = '\0';
    if (ret_len != NULL)
        *ret_len = b.len;
    vf_buf_done(&b);
    return out;
}

void import_csv(struct vf_vault *v, const struct place *p, const char *csv, const char *photos, enum vf_err expect,
                struct vf_import_report *ret)
{
    struct vf_import_report report = {0};
    char path[400], dir[400];
    struct vf_import_options opt = {.csv_path = path};

    put_file(p, "in.csv", csv, strlen(csv));
    (void)place_path(p, "in.csv", path);
    if (photos != NULL)
        opt.photos_dir = place_path(p, photos, dir);
    enum vf_err err = vf_import(v, &opt, &report, why);
    if (err != expect) {
        (void)fprintf(stderr, "import: %d %s\n", (int)err, why->text);
        abort();
    }
    if (ret != NULL)
        *ret = report;
}

void put_photo(const struct place *p, const char *name, unsigned seed)
{
    struct pixels px = px_paint(300, 352, 3, 20);
    struct jpeg_how how = {0};
    char path[400];

    for (size_t i = 0; i < 3000; i++)
        px.d[i] = (uint8_t)(seed * 37 + i / 96 * (seed + 1));
    struct blob b = jpeg_make(&px, &how);
    jpeg_add_exif(&b, &(struct exif_how){.orientation = 1, .gps = true});
    (void)place_path(p, name, path);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        abort();
    *slash = '/';
    OK(vf_file_write(path, b.d, b.n, 0600, true, why));
    blob_free(&b);
    px_free(&px);
}

const char *text_of(struct vf_vault *v, const struct vf_ref *ref, enum vf_field field)
{
    static char out[512];
    VF_VIEW view = NULL;
    VF_BUF value = {0};

    OK(vf_view_open(v, &view, why));
    OK(vf_view_value(view, ref, field, 0, &value, why));
    (void)snprintf(out, sizeof(out), "%.*s", (int)value.len, value.len > 0 ? (const char *)value.data : "");
    return out;
}

struct vf_ref ref_of(struct vf_vault *v, const char *warrant_no)
{
    VF_VIEW view = NULL;
    struct vf_ref ref;

    OK(vf_view_open(v, &view, why));
    OK(vf_view_find(view, warrant_no, strlen(warrant_no), &ref, why));
    return ref;
}

void set_text(struct vf_vault *v, const struct vf_ref *ref, enum vf_field field, const char *text)
{
    struct vf_field_value value = {field, text, strlen(text)};

    OK(vf_record_set(v, ref, &value, 1, why));
}

uint64_t count_rows(struct vf_vault *v, unsigned table)
{
    VF_TXN txn = NULL;

    OK(vf_txn_read(vf_vault_store(v), &txn, why));
    return vf_txn_count(txn, table);
}

static void print_finding(void *user, const char *line)
{
    if (user != NULL)
        (void)fprintf(stderr, "finding: %s\n", line);
}

struct vf_vault_check_report check_clean(const struct place *p)
{
    struct vf_vault_check_report report = {0};

    OK(vf_vault_check(p->vault, admin[ALICE], print_finding, NULL, &report, &report, why));
    if (report.findings != 0)
        abort();
    return report;
}

uint64_t check_findings(const struct place *p, unsigned who, bool print)
{
    struct vf_vault_check_report report = {0};
    bool told = print;

    OK(vf_vault_check(p->vault, admin[who], print_finding, NULL, print ? &told : NULL, &report, why));
    return report.findings;
}

struct vf_vault *place_open(struct place *p)
{
    place_make(p, 1, 1);
    return open_as(p, VF_VAULT_WRITE, ALICE);
}

void place_close(struct place *p, struct vf_vault **v)
{
    close_vault(*v);
    *v = NULL;
    (void)check_clean(p);
    place_done(p);
}

void chain_of(const struct vf_buf *file, struct vf_policy_chain *ret)
{
    OK(vf_policy_chain_parse(file->data, file->len, "test", ret, why));
}

void sign_policy(struct vf_buf *file, unsigned who)
{
    struct vf_policy_chain chain;
    struct vf_buf out;

    chain_of(file, &chain);
    vf_buf_init(&out, VF_POLICY_MAX);
    OK(vf_policy_chain_sign(&chain, admin[who], &out, why));
    vf_policy_chain_done(&chain);
    vf_buf_done(file);
    *file = out;
}
