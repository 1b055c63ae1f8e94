/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *text;
    enum vf_field field;
} endings[] = {
    {".jpg", VF_FIELD_PHOTO},  {".jpeg", VF_FIELD_PHOTO},    {".JPG", VF_FIELD_PHOTO},
    {".JPEG", VF_FIELD_PHOTO}, {".png", VF_FIELD_SIGNATURE}, {".PNG", VF_FIELD_SIGNATURE},
};

/* VF_FIELD_NONE: a file of another kind, which is nobody's business here. */
static enum vf_field field_of(const char *name, size_t *ret_stem_len)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t n = strlen(endings[i].text);
        if (len > n && strcmp(name + len - n, endings[i].text) == 0) {
            *ret_stem_len = len - n;
            return endings[i].field;
        }
    }
    return VF_FIELD_NONE;
}

static int cmp_stem(const struct vf_import_file *file, const char *stem, size_t len, enum vf_field field)
{
    size_t n = file->stem_len < len ? file->stem_len : len;
    int cmp = memcmp(file->name, stem, n);

    if (cmp == 0)
        cmp = (file->stem_len > len) - (file->stem_len < len);
    return cmp != 0 ? cmp : (file->field > field) - (file->field < field);
}

static int cmp_files(const void *a, const void *b)
{
    const struct vf_import_file *y = b;

    return cmp_stem(a, y->name, y->stem_len, y->field);
}

static enum vf_err add_file(struct vf_import_job *job, const char *name, struct vf_why *why)
{
    size_t stem_len = 0;
    enum vf_field field = field_of(name, &stem_len);

    if (field == VF_FIELD_NONE)
        return VF_OK;
    if (job->nfiles == VF_IMPORT_FILES_MAX)
        return vf_fail(why, VF_E_LIMIT, "%s: more than %u pictures", job->opt->photos_dir, VF_IMPORT_FILES_MAX);
    if (!vf_import_room(&job->files, &job->files_room, job->nfiles, 1, sizeof(*job->files)))
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->photos_dir);
    char *copy = strdup(name);
    if (copy == NULL)
        return vf_fail(why, VF_E_NOMEM, "%s: out of memory", job->opt->photos_dir);
    job->files[job->nfiles++] = (struct vf_import_file){.name = copy, .stem_len = stem_len, .field = field};
    return VF_OK;
}

enum vf_err vf_import_photos_scan(struct vf_import_job *job, struct vf_why *why)
{
    const char *path = job->opt->photos_dir;
    enum vf_err err = VF_OK;

    if (path == NULL)
        return VF_OK;
    job->photos_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (job->photos_fd < 0)
        return vf_fail_sys(why, "%s: cannot open the folder of photos", path);
    /* A descriptor of its own, since closedir closes it. */
    int fd = openat(job->photos_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        err = vf_fail_sys(why, "%s: cannot list the folder of photos", path);
        vf_fd_close(&fd);
        return err;
    }
    errno = 0;
    for (const struct dirent *e = readdir(dir); e != NULL && err == VF_OK; e = readdir(dir)) {
        err = add_file(job, e->d_name, why);
        errno = 0;
    }
    if (err == VF_OK && errno != 0)
        err = vf_fail_sys(why, "%s: cannot list the folder of photos", path);
    (void)closedir(dir);
    if (job->nfiles > 0)
        qsort(job->files, job->nfiles, sizeof(*job->files), cmp_files);
    return err;
}

const struct vf_import_file *vf_import_photos_find(struct vf_import_job *job, const char *stem, size_t len,
                                                   enum vf_field field, bool *ret_two)
{
    size_t lo = 0;
    size_t hi = job->nfiles;

    *ret_two = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (cmp_stem(&job->files[mid], stem, len, field) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    size_t n = 0;
    (void)pthread_mutex_lock(&job->lock);
    while (lo + n < job->nfiles && cmp_stem(&job->files[lo + n], stem, len, field) == 0)
        job->files[lo + n++].named = true;
    (void)pthread_mutex_unlock(&job->lock);
    *ret_two = n > 1;
    return n == 1 ? &job->files[lo] : NULL;
}

void vf_import_photos_name(struct vf_import_job *job, const struct vf_csv_cell *key)
{
    bool two = false;

    if (key->len == 0)
        return;
    (void)vf_import_photos_find(job, key->text, key->len, VF_FIELD_PHOTO, &two);
    (void)vf_import_photos_find(job, key->text, key->len, VF_FIELD_SIGNATURE, &two);
}
