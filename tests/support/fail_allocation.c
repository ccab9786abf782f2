// Preloaded into a program, this lets one allocation of its main() fail. CUVAE_FAIL_ALLOCATION is the number of that
// allocation, counted from 1. At exit, the number of allocations is written to the file CUVAE_COUNT_ALLOCATIONS.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int Main(int, char**, char**);
static Main* real_main;
static atomic_long counted;
static atomic_int in_main;
static long failing;

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

// Allocations of oneDNN do not fail here: oneDNN 2.6 crashes if one fails while it compiles its kernels.
static int within_onednn(void) {
  void* frames[32];
  const int depth = backtrace(frames, 32);
  for (int i = 0; i < depth; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) != 0 && info.dli_fname != NULL && strstr(info.dli_fname, "libdnnl") != NULL) return 1;
  }
  return 0;
}

static int fails(void) {
  if (!in_main) return 0;
  const long number = atomic_fetch_add(&counted, 1) + 1;
  if (number != failing || within_onednn()) return 0;
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t bytes) { return fails() ? NULL : __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) { return fails() ? NULL : __libc_calloc(count, bytes); }
void* realloc(void* memory, size_t bytes) { return fails() ? NULL : __libc_realloc(memory, bytes); }
void* memalign(size_t alignment, size_t bytes) { return fails() ? NULL : __libc_memalign(alignment, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) { return fails() ? NULL : __libc_memalign(alignment, bytes); }
int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  if (fails()) return ENOMEM;
  *memory = __libc_memalign(alignment, bytes);
  return *memory == NULL ? ENOMEM : 0;
}

static int counting_main(int argc, char** argv, char** environment) {
  const char* number = getenv("CUVAE_FAIL_ALLOCATION");
  failing = number != NULL ? atol(number) : 0;
  unsetenv("LD_PRELOAD");
  within_onednn();  // loads the library that backtrace() needs
  in_main = 1;
  const int code = real_main(argc, argv, environment);
  in_main = 0;
  const char* file = getenv("CUVAE_COUNT_ALLOCATIONS");
  if (file != NULL) {
    FILE* out = fopen(file, "w");
    if (out != NULL) fprintf(out, "%ld\n", (long)counted), fclose(out);
  }
  return code;
}

int __libc_start_main(Main* main, int argc, char** argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void* stack_end) {
  typedef int Start(Main*, int, char**, void (*)(void), void (*)(void), void (*)(void), void*);
  Start* const start = (Start*)dlsym(RTLD_NEXT, "__libc_start_main");
  real_main = main;
  return start(counting_main, argc, argv, init, fini, rtld_fini, stack_end);
}
