// Small kernels, each in a correct version and with one planted mistake.
#pragma once
#include <cuda_runtime_api.h>

namespace planted {

enum class Outcome { right, wrong, error };
enum class Variant { correct, mistaken };

Outcome missing_barrier(Variant);         // reads a neighbour's shared value
Outcome lockstep(Variant);                // the same inside a warp, without __syncwarp
Outcome tile_loop(Variant);               // overwrites a tile that others still read
Outcome divergent_barrier(Variant);       // two barriers instead of one for all threads
Outcome partial_barrier(Variant);         // half of the threads wait elsewhere
Outcome half_warp(Variant);               // shuffles half a warp with a full mask
Outcome wrong_mask(Variant);              // shuffles a full warp with half a mask
Outcome two_shuffles(Variant);            // lanes meet in different shuffles
Outcome early_exit();                     // threads that have ended need not reach a barrier
Outcome uninitialised(Variant);           // reads shared memory that was never written
Outcome uninitialised_template(Variant);  // the same in a template
Outcome static_overflow(Variant);         // writes past static shared memory
Outcome dynamic_overflow(Variant);        // writes past dynamic shared memory
Outcome global_overflow(Variant);         // writes past an allocation
Outcome dynamic_too_large(Variant);       // 50 KiB, with and without opting in
Outcome misaligned(Variant);              // a float4 at 4 bytes
Outcome lost_update(Variant);             // counter + 1 by every thread of a block
Outcome wide_race(Variant);               // a race late in a large block
Outcome block_race(Variant);              // counter + 1 by every block
Outcome last_block(Variant);              // reads other blocks' results, without a fence

/// *p += amount, on a stream: for tests of streams and graphs.
cudaError_t add(float* p, float amount, cudaStream_t stream);

}  // namespace planted
