// How the scalar formulas are compiled: inlined into whatever loop or kernel uses them.
#pragma once
#if defined(__CUDACC__)
#define CUVAE_FN __host__ __device__ __forceinline__
#else
#define CUVAE_FN [[gnu::always_inline]] inline
#endif
