// Batches and linear layers.
#include <algorithm>

#include "cpu/cpu_backend.h"
#include "cpu/gemm.h"

namespace cuvae::cpu {
namespace {
// Rows of one chunk: about 64 KiB, which a core's second-level cache holds.
Index rows_for(Index cols) { return std::max<Index>(1, 16384 / cols); }
}  // namespace

void CpuBackend::do_run(const FillMissing& op) {
  constexpr Index kChunk = 16384;
  chunks(op.x.size(), kChunk,
         [&](Index, Index begin, Index end) { p_.fill_missing(op.x.f32() + begin, end - begin, op.y.f32() + begin); });
}

void CpuBackend::do_run(const GatherBatch& op) {
  const BatchRows& rows = op.rows;
  const Index batch = op.x.rows, cols = op.x.cols;
  const Index whole = rows.batch > 0 ? rows.batch : batch,
              first = rows.first_row +
                      (rows.step != nullptr ? static_cast<Index>(*rows.step) % (rows.rows / whole) * whole : 0);
  const Draw draw = draw_of(op.noise, op.noise.stream);
  const Index row_bytes = cols * static_cast<Index>(size_of(op.pixels.dtype));
  chunks(batch, std::max<Index>(1, rows_for(cols) / 4), [&](Index, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      const Index row = rows.order != nullptr ? rows.order[first + b] : first + b;
      p_.gather_row(static_cast<const std::uint8_t*>(op.pixels.data) + row * row_bytes, op.pixels.dtype, op.binarize,
                    draw, static_cast<std::uint64_t>((op.noise.first_row + b) * cols), cols, op.x.f32() + b * cols);
    }
  });
}

void CpuBackend::do_run(const JoinColumns& op) {
  const Index cols = op.joined.cols, samples = op.left.rows / op.right.rows;
  chunks(op.joined.rows, rows_for(cols), [&](Index, Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      float* const right = std::copy_n(op.left.f32() + row * op.left.cols, op.left.cols, op.joined.f32() + row * cols);
      std::copy_n(op.right.f32() + row / samples * op.right.cols, op.right.cols, right);
    }
  });
}

void CpuBackend::do_run(const Linear& op) {
  const View y = op.y;
  gemm(team_, Op::none, Op::transpose, y.rows, y.cols, op.x.cols, op.x.f32(), op.w.f32(), y.f32());
  chunks(y.rows, rows_for(y.cols), [&](Index, Index begin, Index end) {
    const Index at = begin * y.cols;
    p_.bias_activation(y.f32() + at, op.pre ? op.pre.f32() + at : nullptr, op.b.f32(), end - begin, y.cols,
                       op.activation);
  });
}

void CpuBackend::do_run(const LinearBackward& op) {
  const ConstView x = op.x, w = op.w, dy = op.dy;
  if (op.dw) {
    gemm(team_, Op::transpose, Op::none, op.dw.rows, op.dw.cols, dy.rows, dy.f32(), x.f32(), op.dw.f32(),
         op.gradients == Gradients::add);
    const Index chunk = std::max<Index>(rows_for(dy.cols), dy.rows / 64), width = dy.cols;
    partial_.assign(static_cast<std::size_t>(chunk_count(dy.rows, chunk) * width), 0.0f);
    chunks(dy.rows, chunk, [&](Index c, Index begin, Index end) {
      p_.column_sums(dy.f32() + begin * width, end - begin, width, partial_.data() + c * width);
    });
    combine(partial_, width, op.db.f32(), op.gradients);
  }

  const View dx = op.dx;
  if (!dx) return;
  gemm(team_, Op::none, Op::none, dx.rows, dx.cols, w.rows, dy.f32(), w.f32(), dx.f32(),
       op.dx_gradients == Gradients::add, w.cols);
  if (op.below == Activation::identity) return;
  const float* pre = needs_pre_activation(op.below) ? op.below_pre.f32() : nullptr;
  chunks(dx.size(), 16384, [&](Index, Index begin, Index end) {
    p_.activation_backward(dx.f32() + begin, x.f32() + begin, pre != nullptr ? pre + begin : nullptr, end - begin,
                           op.below);
  });
}

}  // namespace cuvae::cpu
