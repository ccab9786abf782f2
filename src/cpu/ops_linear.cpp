// Batches and linear layers.
#include "cpu/cpu_backend.h"
#include "cpu/gemm.h"

namespace cuvae::cpu {
namespace {
// Rows of one chunk: about 64 KiB, which a core's second-level cache holds.
Index rows_for(Index cols) { return std::max<Index>(1, 16384 / cols); }
}  // namespace

void CpuBackend::do_gather_batch(ConstView pixels, const BatchRows& rows, Binarize binarize, const Noise& noise,
                                 View x) {
  const Index batches = rows.rows / x.rows;
  const Index first = rows.step != nullptr ? static_cast<Index>(*rows.step) % batches * x.rows : rows.first_row;
  const Draw draw = draw_of(noise, noise.stream);
  const Index row_bytes = x.cols * static_cast<Index>(size_of(pixels.dtype));
  chunks(x.rows, std::max<Index>(1, rows_for(x.cols) / 4), [&](Index, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      const Index row = rows.order != nullptr ? rows.order[first + b] : first + b;
      p_.gather_row(static_cast<const std::uint8_t*>(pixels.data) + row * row_bytes, pixels.dtype, binarize, draw,
                    static_cast<std::uint64_t>((noise.first_row + b) * x.cols), x.cols, x.f32() + b * x.cols);
    }
  });
}

void CpuBackend::do_linear(ConstView x, ConstView w, ConstView b, Activation act, View pre, View y) {
  gemm(team_, Op::none, Op::transpose, y.rows, y.cols, x.cols, x.f32(), w.f32(), y.f32());
  chunks(y.rows, rows_for(y.cols), [&](Index, Index begin, Index end) {
    const Index at = begin * y.cols;
    p_.bias_activation(y.f32() + at, pre ? pre.f32() + at : nullptr, b.f32(), end - begin, y.cols, act);
  });
}

void CpuBackend::do_linear_backward(ConstView x, ConstView w, ConstView dy, Activation below, ConstView below_pre,
                                    View dw, View db, View dx) {
  gemm(team_, Op::transpose, Op::none, dw.rows, dw.cols, dy.rows, dy.f32(), x.f32(), dw.f32());

  const Index chunk = std::max<Index>(rows_for(dy.cols), dy.rows / 64), width = dy.cols;
  partial_.assign(static_cast<std::size_t>(chunk_count(dy.rows, chunk) * width), 0.0f);
  chunks(dy.rows, chunk, [&](Index c, Index begin, Index end) {
    p_.column_sums(dy.f32() + begin * width, end - begin, width, partial_.data() + c * width);
  });
  combine(partial_, width, db.f32());

  if (!dx) return;
  gemm(team_, Op::none, Op::none, dx.rows, dx.cols, w.rows, dy.f32(), w.f32(), dx.f32());
  if (below == Activation::identity) return;
  const float* pre = needs_pre_activation(below) ? below_pre.f32() : nullptr;
  chunks(dx.size(), 16384, [&](Index, Index begin, Index end) {
    p_.activation_backward(dx.f32() + begin, x.f32() + begin, pre != nullptr ? pre + begin : nullptr, end - begin,
                           below);
  });
}

}  // namespace cuvae::cpu
