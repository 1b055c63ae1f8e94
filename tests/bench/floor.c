/* SPDX-License-Identifier: MIT */
/*
 * What no import can leave out: bench-floor PHOTOS OUT. Each photo is read, encrypted and hashed, with as many texts as a record has, and written to a file;
 * no table is read, no photo looked at, nothing is sorted, and there is no database. A step after the other is put on top, on all processors.
 */
#include <vaultfs/crypto.h>
#include <vaultfs/record.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64u
#define PLAIN_MAX   (VF_VALUE_MAX + 0u)
#define SEALED_MAX  (2u * VF_VALUE_MAX)

enum step { READ, ENCRYPT, HASH, TEXTS, WRITE, STEPS };
static const char *const names[STEPS] = {"read the photos", "and encrypt them", "and hash what came out",
                                         "and encrypt and hash the texts", "and write it all to a file"};

struct photo {
    char name[256];
};
static struct photo *photos;
static size_t nphotos;
static atomic_size_t next;
static atomic_ullong bytes;
static int folder = -1, out = -1;
static enum step upto;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t read_photo(const char *name, uint8_t *plain)
{
    struct stat st;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > (off_t)PLAIN_MAX ||
        read(fd, plain, (size_t)st.st_size) != st.st_size)
        die(name);
    (void)close(fd);
    return (size_t)st.st_size;
}

/* As the vault stores a value: a key of its own, padded, encrypted, hashed. */
static size_t seal(const struct vf_record_key *rk, unsigned field, const uint8_t *plain, size_t len, bool hash, uint8_t *to)
{
    const struct vf_value_id id = {.field = (uint8_t)field, .generation = 1};
    size_t padded = vf_field_padded(field, len);
    uint8_t salt[VF_SALT_LEN];
    struct vf_field_key key;
    struct vf_hash sum;

    vf_random(salt, sizeof(salt));
    vf_kdf_field_key(rk, (uint8_t)field, 1, salt, &key);
    if (vf_value_seal(&key, &id, plain, len, padded, to) != VF_OK)
        die("seal");
    vf_wipe(&key, sizeof(key));
    if (hash)
        vf_sha256(to, padded + VF_VALUE_OVERHEAD, &sum);
    return padded + VF_VALUE_OVERHEAD;
}

static void one(const char *name, const struct vf_record_key *rk, uint8_t *plain, uint8_t *sealed)
{
    size_t len = read_photo(name, plain), used = 0;

    if (upto >= ENCRYPT)
        used = seal(rk, VF_FIELD_PHOTO, plain, len, upto >= HASH, sealed);
    for (unsigned f = 1; upto >= TEXTS && f < VF_FIELD_COUNT; f++)
        if (vf_field_info(f) != NULL && !vf_field_is_image(f))
            used += seal(rk, f, (const uint8_t *)"1842133", 7, true, sealed + used);
    if (upto >= WRITE) {
        unsigned long long at = atomic_fetch_add(&bytes, used);
        if (pwrite(out, sealed, used, (off_t)at) != (ssize_t)used)
            die("write");
    }
}

static void *worker(void *user)
{
    uint8_t *plain = malloc(PLAIN_MAX), *sealed = malloc(SEALED_MAX);
    struct vf_record_key *rk = vf_secret_new(sizeof(*rk));
    size_t i;

    (void)user;
    if (plain == NULL || sealed == NULL || rk == NULL)
        die("memory");
    vf_record_key_new(rk);
    while ((i = atomic_fetch_add(&next, 1)) < nphotos)
        one(photos[i].name, rk, plain, sealed);
    vf_secret_free(rk);
    free(plain);
    free(sealed);
    return NULL;
}

static void list_photos(const char *path)
{
    DIR *dir = opendir(path);

    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir == NULL || folder < 0)
        die(path);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strstr(e->d_name, ".jp") == NULL)
            continue;
        photos = reallocarray(photos, nphotos + 1, sizeof(*photos));
        if (photos == NULL)
            die("memory");
        (void)snprintf(photos[nphotos++].name, sizeof(photos[0].name), "%s", e->d_name);
    }
    (void)closedir(dir);
    if (nphotos == 0) {
        (void)fprintf(stderr, "%s: no photos\n", path);
        exit(1);
    }
}

static void run(const char *path)
{
    pthread_t threads[THREADS_MAX];
    unsigned n = vf_processors() < THREADS_MAX ? vf_processors() : THREADS_MAX;

    out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        die(path);
    atomic_store(&next, 0);
    atomic_store(&bytes, 0);
    double wall = now(CLOCK_MONOTONIC), processor = now(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, worker, NULL) != 0)
            die("thread");
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    wall = now(CLOCK_MONOTONIC) - wall;
    processor = now(CLOCK_PROCESS_CPUTIME_ID) - processor;
    (void)printf("%-32s %8.3f %8.3f\n", names[upto], wall / (double)nphotos, processor / (double)nphotos);
    (void)close(out);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    struct vf_why why = {0};

    if (argc != 3) {
        (void)fprintf(stderr, "Usage: bench-floor PHOTOS OUT\n");
        return 2;
    }
    if (vf_crypto_init(VF_ARENA_TOOL, &why) != VF_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    list_photos(argv[1]);
    (void)printf("%-32s %8s %8s   milliseconds a record, %zu records\n", "", "wall", "processor", nphotos);
    for (int step = READ; step < STEPS; step++) {
        upto = (enum step)step;
        run(argv[2]);
    }
    free(photos);
    vf_crypto_done();
    return 0;
}
