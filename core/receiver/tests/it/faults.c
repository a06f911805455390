/* A disk that fails, and a power cut: loaded into the receiver of the tests in front of libc.
 *
 * TL_DISK_SWITCH: a file with "eio SUFFIX" or "enospc SUFFIX": files whose name ends so cannot be flushed, or
 * written (the first write of each round is cut in half). Empty: nothing fails.
 * TL_DISK_WATCH: what is below this folder is watched.
 * TL_DISK_SHADOW: a folder in which each watched file is kept as the disk has it: what was written comes there
 * when flushing succeeds. When it fails, the pages count as written and the disk has not got them, as in Linux. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What was written and not flushed, in order, with its bytes: opening and closing a file to read them would let go
 * of the locks that SQLite holds on it. */
struct range { struct range *next; dev_t dev; ino_t ino; off_t from; size_t length; char bytes[]; };
static struct range *dirty, **last = &dirty;
static int halves;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The path of a watched file, or 0. */
static int watched(int fd, char *path, struct stat *about) {
    char link[64];
    const char *below = getenv("TL_DISK_WATCH");
    if (!below || fstat(fd, about) || !(S_ISREG(about->st_mode) || S_ISDIR(about->st_mode))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return strncmp(path, below, strlen(below)) == 0;
}

static int fails(const char *word, const char *path) {
    char text[300] = "", suffix[256];
    int saved = errno;
    int fd = open(getenv("TL_DISK_SWITCH"), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0) text[0] = 0;
        close(fd);
    }
    errno = saved;
    size_t n = strlen(word);
    if (strncmp(text, word, n) || sscanf(text + n, " %255s", suffix) != 1) return 0;
    size_t long_ = strlen(path), short_ = strlen(suffix);
    return long_ >= short_ && strcmp(path + long_ - short_, suffix) == 0;
}

static void wrote(const struct stat *about, off_t from, const void *bytes, size_t length) {
    struct range *range = malloc(sizeof *range + length);
    if (!range) abort();
    *range = (struct range){0, about->st_dev, about->st_ino, from, length};
    memcpy(range->bytes, bytes, length);
    pthread_mutex_lock(&lock);
    *last = range;
    last = &range->next;
    pthread_mutex_unlock(&lock);
}

static ssize_t put(int fd, const void *bytes, size_t n, off_t at, int placed) {
    REAL(write);
    static __typeof__(&pwrite64) real_at;
    if (!real_at) real_at = (__typeof__(&pwrite64))dlsym(RTLD_NEXT, "pwrite64");
    char path[PATH_MAX];
    struct stat about;
    int is = watched(fd, path, &about) && S_ISREG(about.st_mode);
    if (is && fails("enospc", path)) {
        if (__sync_fetch_and_add(&halves, 1) % 2 || n < 2) { errno = ENOSPC; return -1; }
        n /= 2;
    }
    ssize_t done = placed ? real_at(fd, bytes, n, at) : real(fd, bytes, n);
    if (is && done > 0) wrote(&about, placed ? at : lseek(fd, 0, SEEK_CUR) - done, bytes, (size_t)done);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t n) { return put(fd, bytes, n, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) { return put(fd, bytes, n, at, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) { return put(fd, bytes, n, at, 1); }

/* The shadow of a file: its path with % for /. */
static int shadow(const char *path) {
    char name[2 * PATH_MAX];
    snprintf(name, sizeof name, "%s/", getenv("TL_DISK_SHADOW"));
    size_t at = strlen(name);
    for (const char *c = path; *c && at < sizeof name - 1; c++) name[at++] = *c == '/' ? '%' : *c;
    name[at] = 0;
    return open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int flush(int fd) {
    static __typeof__(&pwrite64) real_at;
    if (!real_at) real_at = (__typeof__(&pwrite64))dlsym(RTLD_NEXT, "pwrite64");
    char path[PATH_MAX];
    struct stat about;
    if (!watched(fd, path, &about)) return 1;
    int bad = fails("eio", path);
    if (S_ISREG(about.st_mode)) {
        int to = shadow(path);
        pthread_mutex_lock(&lock);
        for (last = &dirty; *last;) {
            struct range *range = *last;
            if (range->dev != about.st_dev || range->ino != about.st_ino) { last = &range->next; continue; }
            if (!bad && real_at(to, range->bytes, range->length, range->from) != (ssize_t)range->length) abort();
            *last = range->next;
            free(range);
        }
        if (!bad && ftruncate(to, about.st_size)) abort();
        pthread_mutex_unlock(&lock);
        close(to);
    }
    if (bad) { errno = EIO; return -1; }
    /* What the real disk does is not the question here. */
    return 0;
}

int fsync(int fd) {
    REAL(fsync);
    int done = flush(fd);
    return done > 0 ? real(fd) : done;
}
int fdatasync(int fd) {
    REAL(fdatasync);
    int done = flush(fd);
    return done > 0 ? real(fd) : done;
}
