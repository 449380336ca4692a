/* clickhouse-server LIBCHDB OPTION...: ClickHouse as a server, from the library alone.
 *
 * The library is `clickhouse local` behind one function. It listens when it is told so by a query,
 * and runs until it has read its last query. So it is given two query files that are pipes: one
 * says to listen; the other stays open, and its end is the order to shut down, given on SIGTERM or
 * SIGINT. (A query that sleeps would do too, but `KILL QUERY` would end the server with it.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char LISTEN[] = "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP";

static sigset_t stop_signals;
static int stop_pipe; /* its write end */

static void fail(const char *what, const char *why) {
  fprintf(stderr, "clickhouse-server: %s: %s\n", what, why);
  exit(1);
}

static void *symbol(void *library, const char *name) {
  void *found = dlsym(library, name);
  if (!found)
    fail("find symbol", dlerror());
  return found;
}

/* Makes a pipe and the option that has its read end read as a file of queries. */
static int query_pipe(char *option, size_t size) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    fail("make a pipe", "pipe2 failed");
  snprintf(option, size, "--queries-file=/proc/self/fd/%d", ends[0]);
  return ends[1];
}

static void *await_stop(void *unused) {
  int received;
  sigwait(&stop_signals, &received);
  close(stop_pipe);
  return unused;
}

/* Every later thread inherits the mask, so only await_stop gets these signals. */
static void start_await_stop(void) {
  pthread_t thread;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, NULL);
  if (pthread_create(&thread, NULL, await_stop, NULL) != 0)
    fail("await signals", "pthread_create failed");
}

static void run(void *library, int argc, char **argv) {
  void *(*query)(int, char **) = symbol(library, "chdb_query_cmdline");
  const char *(*error)(void *) = symbol(library, "chdb_result_error");
  const char *message = error(query(argc, argv));
  if (message && *message)
    fail("run ClickHouse", message);
}

int main(int argc, char **argv) {
  if (argc < 2)
    fail("usage", "clickhouse-server LIBCHDB OPTION...");
  char listen_option[64], stop_option[64];
  int listen_pipe = query_pipe(listen_option, sizeof listen_option);
  stop_pipe = query_pipe(stop_option, sizeof stop_option);
  if (write(listen_pipe, LISTEN, strlen(LISTEN)) < 0)
    fail("write to a pipe", "write failed");
  close(listen_pipe);
  start_await_stop();

  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library)
    fail("load the library", dlerror());
  /* argv[0], the options after the library's path, the two files, NULL. */
  char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
  if (!arguments)
    fail("start", "no memory");
  int count = 0;
  arguments[count++] = argv[0];
  for (int i = 2; i < argc; i++)
    arguments[count++] = argv[i];
  arguments[count++] = listen_option;
  arguments[count++] = stop_option;
  run(library, count, arguments);
  return 0;
}
