/* Loaded with LD_PRELOAD: makes a process die, or its disk full, at a chosen call on a path under a `checkpoints` folder.

   FAULT_LOG    file that every such call is written to, a line each
   FAULT_STAGE  the calls that count, as the log names them; all, where it is not set
   FAULT_AT     which of them is the one, from 1
   FAULT_KIND   kill: dies before it. half: dies with half of a write done. enospc: from it on the disk is full.

   Only calls that change something count. In the log runs of four or more hexadecimal digits are `*`. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GO_ON, HALF, FULL };
static int seen, full;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What is under the `checkpoints` folder in a path, from its name on; NULL: the path is elsewhere. */
static const char *inside(const char *path) {
    const char *found = strstr(path, "/checkpoints");
    if (!found || (found[12] != '/' && found[12] != '\0')) return NULL;
    return found + 1;
}

static void name_stage(char *stage, size_t size, const char *call, const char *path) {
    size_t length = (size_t)snprintf(stage, size, "%s ", call);
    while (*path && length + 2 < size) {
        size_t digits = strspn(path, "0123456789abcdef");
        if (digits >= 4) {
            stage[length++] = '*';
            path += digits;
        } else {
            do stage[length++] = *path++; while (digits > 0 && --digits > 0 && length + 2 < size);
        }
    }
    stage[length] = '\0';
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Before each call; `creates`: it needs room on the disk. */
static int before(const char *call, const char *path, int creates) {
    const char *wanted = getenv("FAULT_STAGE"), *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
    const char *log = getenv("FAULT_LOG"), *place = inside(path);
    char stage[PATH_MAX + 16];
    if (!place) return GO_ON;
    name_stage(stage, sizeof stage - 1, call, place);
    if (log) {
        int file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        size_t length = strlen(stage);
        stage[length] = '\n';
        syscall(SYS_write, file, stage, length + 1);
        syscall(SYS_close, file);
        stage[length] = '\0';
    }
    if (full) return creates ? FULL : GO_ON;
    if (!at || !kind || (wanted && strcmp(wanted, stage)) || ++seen != atoi(at)) return GO_ON;
    if (!strcmp(kind, "kill")) die();
    if (!strcmp(kind, "half")) return HALF;
    full = 1;
    return creates ? (strcmp(call, "write") ? FULL : HALF) : GO_ON;
}

static int refuse(void) {
    errno = ENOSPC;
    return -1;
}

/* The path of a file that is open, and of a name in an open folder. */
static const char *of_descriptor(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = '\0';
    return path;
}

static const char *of_name(int folder, const char *name, char *path) {
    if (folder == AT_FDCWD || name[0] == '/') return name;
    of_descriptor(folder, path);
    strncat(path, "/", PATH_MAX - strlen(path) - 1);
    strncat(path, name, PATH_MAX - strlen(path) - 1);
    return path;
}

int mkdir(const char *path, mode_t mode) {
    return before("mkdir", path, 1) == GO_ON ? REAL(mkdir)(path, mode) : refuse();
}

int rename(const char *old, const char *new) {
    before("rename", new, 0);
    return REAL(rename)(old, new);
}

int unlink(const char *path) {
    before("unlink", path, 0);
    return REAL(unlink)(path);
}

int rmdir(const char *path) {
    before("rmdir", path, 0);
    return REAL(rmdir)(path);
}

int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    before(flags & AT_REMOVEDIR ? "rmdir" : "unlink", of_name(folder, name, path), 0);
    return REAL(unlinkat)(folder, name, flags);
}

int fsync(int file) {
    char path[PATH_MAX];
    return before("fsync", of_descriptor(file, path), 1) == GO_ON ? REAL(fsync)(file) : refuse();
}

ssize_t write(int file, const void *data, size_t size) {
    char path[PATH_MAX];
    switch (before("write", of_descriptor(file, path), 1)) {
        case GO_ON: return REAL(write)(file, data, size);
        case FULL: return refuse();
    }
    ssize_t written = REAL(write)(file, data, size / 2);
    if (!full) die();
    return written;
}

static int may_open(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    return (flags & O_ACCMODE) == O_RDONLY || before("open", of_name(folder, name, path), 1) == GO_ON;
}

#define MODE(last) va_list list; va_start(list, last); mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0; va_end(list)

int open(const char *path, int flags, ...) {
    MODE(flags);
    return may_open(AT_FDCWD, path, flags) ? REAL(open)(path, flags, mode) : refuse();
}

int open64(const char *path, int flags, ...) {
    MODE(flags);
    return may_open(AT_FDCWD, path, flags) ? REAL(open64)(path, flags, mode) : refuse();
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags);
    return may_open(folder, path, flags) ? REAL(openat)(folder, path, flags, mode) : refuse();
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags);
    return may_open(folder, path, flags) ? REAL(openat64)(folder, path, flags, mode) : refuse();
}
