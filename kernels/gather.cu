// gather_batch: x [B, D] = rows of the pixels, chosen by a shuffled order, and binarized in the same pass.
// A thread takes four neighbouring pixels, which share one Philox evaluation. A u8 row is read in accesses of 4 bytes
// and written in accesses of 16 (8 as bf16); both are coalesced. A block takes several rows when they are short.
// Moved per pixel: 1 byte (u8) or 4 (f32) read, 4 (f32) or 2 (bf16) written.
#include "launch.h"
#include "math/formulas.h"
#include "noise.cuh"

namespace cuvae::cuda {
namespace {

template <bool bytes, bool whole_packs>
__device__ Pack<4> read_pixels(const void* pixels, Index at, int from, int to) {
  Pack<4> p{};
  if constexpr (bytes && whole_packs) {
    const uchar4 b = *reinterpret_cast<const uchar4*>(static_cast<const std::uint8_t*>(pixels) + at);
    p = {static_cast<float>(b.x), static_cast<float>(b.y), static_cast<float>(b.z), static_cast<float>(b.w)};
  } else if constexpr (whole_packs) {
    p = load<4>(static_cast<const float*>(pixels) + at);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (from <= j && j < to) {
        if constexpr (bytes)
          p.v[j] = static_cast<float>(static_cast<const std::uint8_t*>(pixels)[at + j]);
        else
          p.v[j] = static_cast<const float*>(pixels)[at + j];
      }
  }
  if constexpr (bytes)
    for (float& v : p.v) {  // exactly v / 255 for all 256 values; a product with 1 / 255 alone is not exact
      const float quotient = v * (1.0f / 255.0f);
      v = fmaf(fmaf(-quotient, 255.0f, v), 1.0f / 255.0f, quotient);
    }
  return p;
}

template <class T, bool bytes, Binarize mode, bool whole_packs>
__global__ void __launch_bounds__(kThreads) gather(const GatherBatch op) {
  const BatchRows& rows = op.rows;
  const Index whole = rows.batch > 0 ? rows.batch : op.x.rows;
  const Index first =
      rows.first_row + (rows.step != nullptr ? static_cast<Index>(*rows.step) % (rows.rows / whole) * whole : 0);
  const std::uint32_t step = mode == Binarize::stochastic ? *op.noise.step : 0;

  for (Index b = static_cast<Index>(blockIdx.x) * blockDim.y + threadIdx.y; b < op.x.rows;
       b += static_cast<Index>(gridDim.x) * blockDim.y) {
    const Index source = (rows.order != nullptr ? rows.order[first + b] : first + b) * op.x.cols;
    const Index number = (op.noise.first_row + b) * op.x.cols;  // of the row's first uniform
    const int shift = whole_packs ? 0 : static_cast<int>(number % 4);
    // Packs begin where a Philox evaluation does, so that the first and the last may lie partly outside of the row.
    for (Index d = static_cast<Index>(threadIdx.x) * 4 - shift; d < op.x.cols;
         d += static_cast<Index>(blockDim.x) * 4) {
      const int from = d < 0 ? shift : 0, to = op.x.cols - d < 4 ? static_cast<int>(op.x.cols - d) : 4;
      Pack<4> x = read_pixels<bytes, whole_packs>(op.pixels.data, source + d, from, to);
      if constexpr (mode == Binarize::threshold)
        for (float& v : x.v) v = math::thresholded(v);
      if constexpr (mode == Binarize::stochastic) {
        const Pack<4> u = uniforms(op.noise, step, static_cast<std::uint64_t>(number + d) / 4);
#pragma unroll
        for (int j = 0; j < 4; ++j) x.v[j] = math::binarized(x.v[j], u.v[j]);
      }
      T* out = data_of<T>(op.x) + b * op.x.cols + d;
      if constexpr (whole_packs) {
        store(out, x);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (from <= j && j < to) store(out + j, Pack<1>{x.v[j]});
      }
    }
  }
}

template <bool bytes, Binarize mode>
cudaError_t start_gather(const GatherBatch& op, cudaStream_t stream) {
  // A row number of a multiple of four widths is a whole number of packs, in memory and in the noise.
  const bool whole_packs =
      op.x.cols % 4 == 0 && aligned(op.x) && reinterpret_cast<std::uintptr_t>(op.pixels.data) % (bytes ? 4 : 16) == 0;
  const RowBlocks shape(op.x.rows, ceil_div(op.x.cols, 4) + (whole_packs ? 0 : 1));
  return with_type(op.x.dtype, [&]<class T>() {
    return start(whole_packs ? gather<T, bytes, mode, true> : gather<T, bytes, mode, false>, shape.grid, shape.block,
                 stream, op);
  });
}

template <bool bytes>
cudaError_t start_gather(const GatherBatch& op, cudaStream_t stream) {
  switch (op.binarize) {
    case Binarize::none:
      return start_gather<bytes, Binarize::none>(op, stream);
    case Binarize::threshold:
      return start_gather<bytes, Binarize::threshold>(op, stream);
    case Binarize::stochastic:
      break;
  }
  return start_gather<bytes, Binarize::stochastic>(op, stream);
}

}  // namespace

cudaError_t launch(const GatherBatch& op, cudaStream_t stream) {
  return op.pixels.dtype == DType::u8 ? start_gather<true>(op, stream) : start_gather<false>(op, stream);
}

}  // namespace cuvae::cuda
