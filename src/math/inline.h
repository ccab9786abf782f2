// How the scalar formulas are compiled: inlined into the loop or kernel that uses them.
#pragma once
#if defined(__CUDACC__)
#define CUVAE_FN __host__ __device__ __forceinline__
#define CUVAE_TEAM_FN __device__ __forceinline__  // what calls a warp's functions, which the host has not
#else
#define CUVAE_FN [[gnu::always_inline]] inline
#define CUVAE_TEAM_FN CUVAE_FN
#endif
