/* Loaded into the real binary with LD_PRELOAD: kills it at a chosen system call.
 *
 * Points are SQLite's syncs (one per commit, and one per file made), commits that are sent to
 * PostgreSQL (at the port in CRASH_DATABASE_PORT), SQLite's page writes, sends on other TCP sockets, and lines on stdout. The rig says which one by a file of seven 32-bit words that both map:
 * see `control.rs`. Nothing is changed as long as no target is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SYNC = 1, SEND = 2, ANSWER = 4, PAGE = 8 };
enum { BEFORE = 0, AFTER = 1, HALF = 2 };
enum { WRITE_SENT = 1, WRITE_ANSWERED = 2 };

/* `passed`: how far the write of a user got; points count once that is as far as `gate`. */
struct control {
    atomic_uint target, mode, kinds, gate, passed, count, struck;
};

static struct control *control;
static int trace = -1;
static unsigned short database_port;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("CRASH_CONTROL"), *log = getenv("CRASH_TRACE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        control = page == MAP_FAILED ? NULL : page;
    }
    const char *port = getenv("CRASH_DATABASE_PORT");
    database_port = port ? (unsigned short)atoi(port) : 0;
    if (log) trace = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void die(unsigned kind) {
    atomic_store(&control->struck, kind);
    for (;;) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

static void tell(const char *what, const void *text, size_t size) {
    char line[96];
    size_t end = 0;
    while (end < size && end < 64 && ((const char *)text)[end] >= ' ') end++;
    int length = snprintf(line, sizeof line, "%s %.*s\n", what, (int)end, (const char *)text);
    if (trace >= 0) syscall(SYS_write, trace, line, (size_t)length < sizeof line ? (size_t)length : sizeof line);
}

/* Whether this call is the one; `mode` is how to die at it then. */
static int strikes(unsigned kind, unsigned *mode) {
    if (!control) return 0;
    unsigned target = atomic_load(&control->target);
    if (!target || !(atomic_load(&control->kinds) & kind)) return 0;
    if (atomic_load(&control->passed) < atomic_load(&control->gate)) return 0;
    if (atomic_fetch_add(&control->count, 1) + 1 != target) return 0;
    *mode = atomic_load(&control->mode);
    if (*mode == BEFORE) die(kind);
    return 1;
}

static void pass(unsigned from, unsigned to) {
    if (control) atomic_compare_exchange_strong(&control->passed, &from, to);
}

static int is_tcp(int fd) {
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) || (domain != AF_INET && domain != AF_INET6)) return 0;
    size = sizeof type;
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_STREAM;
}

/* Whether this is a socket to PostgreSQL, whose messages are no sends. */
static int is_database(int fd) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    if (!database_port || getpeername(fd, (struct sockaddr *)&peer, &size) || peer.sin_family != AF_INET) return 0;
    return ntohs(peer.sin_port) == database_port;
}

/* The last part of a file's name. */
static const char *name_of(int fd, char *path, size_t size) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
    char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

static int synced(int fd, int (*real)(int)) {
    unsigned mode = BEFORE;
    char path[512];
    const char *name = name_of(fd, path, sizeof path);
    tell("sync", name, strlen(name));
    int strike = strikes(SYNC, &mode);
    int done = real(fd);
    if (strike) die(SYNC);
    return done;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    unsigned mode = BEFORE;
    char path[512];
    int strike = !strncmp(name_of(fd, path, sizeof path), "store.db", 8) && strikes(PAGE, &mode);
    ssize_t done = REAL(pwrite64)(fd, bytes, strike && mode == HALF ? size / 2 : size, at);
    if (strike) die(PAGE);
    return done;
}

typedef ssize_t sending(int fd, const void *bytes, size_t size, int flags);

/* A message to PostgreSQL; one that commits is a sync. */
static ssize_t to_database(sending *real, int fd, const void *bytes, size_t size, int flags) {
    unsigned mode = BEFORE;
    int strike = 0;
    if (memmem(bytes, size, "COMMIT", 7)) {
        tell("sync", "COMMIT", 6);
        strike = strikes(SYNC, &mode);
    }
    ssize_t done = real(fd, bytes, size, flags);
    if (strike) die(SYNC);
    return done;
}

static void sent(const void *bytes, size_t size) {
    tell("send", bytes, size);
    if (size > 4 && memcmp(bytes, "GET ", 4) && memmem(bytes, size < 40 ? size : 40, "/users", 6)) pass(0, WRITE_SENT);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    if (is_database(fd)) return to_database(REAL(send), fd, bytes, size, flags);
    unsigned mode = BEFORE;
    int tcp = is_tcp(fd), strike = tcp && strikes(SEND, &mode);
    ssize_t done = REAL(send)(fd, bytes, strike && mode == HALF ? size / 2 : size, flags);
    if (strike) die(SEND);
    if (tcp) sent(bytes, size);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    unsigned mode = BEFORE;
    int tcp = is_tcp(fd) && !is_database(fd), strike = tcp && strikes(SEND, &mode);
    struct iovec half = count > 0 ? parts[0] : (struct iovec){0};
    half.iov_len /= 2;
    ssize_t done = strike && mode == HALF ? REAL(writev)(fd, &half, 1) : REAL(writev)(fd, parts, count);
    if (strike) die(SEND);
    if (tcp && count > 0) sent(parts[0].iov_base, parts[0].iov_len);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    if (fd != STDOUT_FILENO) return REAL(write)(fd, bytes, size);
    unsigned mode = BEFORE;
    tell("answer", "", 0);
    int strike = strikes(ANSWER, &mode);
    ssize_t done = REAL(write)(fd, bytes, strike && mode == HALF ? size / 2 : size);
    if (strike) die(ANSWER);
    return done;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
    ssize_t done = REAL(recv)(fd, bytes, size, flags);
    if (done >= 10 && !memcmp(bytes, "HTTP/1.1 2", 10)) pass(WRITE_SENT, WRITE_ANSWERED);
    return done;
}
