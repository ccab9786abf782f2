// Replaces <cuda_runtime.h>: includes the toolkit's own header in host mode, so that every type, enum and prototype of
// the API is NVIDIA's, and adds the device language on the CPU.
#pragma once
#pragma GCC system_header  // for #include_next
#if defined(__CUDACC__)
#error "the emulator's include directory must not be used by nvcc"
#endif
#define CUEMU 1

#if defined(__SANITIZE_ADDRESS__)
#define CUEMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUEMU_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CUEMU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CUEMU_TSAN 1
#endif
#endif

// Shared memory is a plain static (not thread_local: AddressSanitizer puts redzones around ordinary statics only).
// Without ASan, clang puts these variables into one section, which is filled with NaNs before every block. GCC does
// not: it ignores the section in templates (PR 41091) and refuses it in inline functions.
#undef __shared__
#if defined(CUEMU_ASAN) || !defined(__clang__)
#define __shared__ static
#else
#define __shared__ static __attribute__((section("cuemu_shared")))
#endif

#define cudaLaunchKernelEx cuemu_real_cudaLaunchKernelEx  // the emulator's version keeps the arguments' types
#include_next <cuda_runtime.h>
#undef cudaLaunchKernelEx

#include "cuemu/atomics.h"
#include "cuemu/collectives.h"
#include "cuemu/intrinsics.h"
#include "cuemu/launch.h"
#include "cuemu/warp.h"
