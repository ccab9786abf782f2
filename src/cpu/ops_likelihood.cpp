// Log-likelihoods with their gradients, the loss, and draws of data.
#include <cmath>

#include "cpu/cpu_backend.h"
#include "math/formulas.h"

namespace cuvae::cpu {
namespace {
double sum(ConstView v) {
  double s = 0.0;
  for (Index i = 0; i < v.size(); ++i) s += static_cast<double>(v.f32()[i]);
  return s;
}
}  // namespace

void CpuBackend::elbo_loss(ConstView log_p, const ElboLoss& loss, ConstView bound) {
  const float* kl_dims = loss.kl_dims.f32();
  const Index latent = loss.kl_dims.cols, columns = loss.moment_columns();
  const double reconstruction = sum(log_p) / static_cast<double>(log_p.rows),
               kl = loss.log_q ? (sum(loss.log_q) - sum(loss.log_p_z)) / static_cast<double>(loss.log_q.rows)
                               : sum(loss.kl) / static_cast<double>(loss.kl.rows);
  double penalty = kl;
  if (loss.weight.free_bits > 0) {
    penalty = 0.0;
    for (Index l = 0; l < latent; ++l) penalty += static_cast<double>(std::max(loss.weight.free_bits, kl_dims[l]));
    if (!std::isfinite(kl)) penalty = kl;  // max() may hide a NaN
  }
  double value = -reconstruction + static_cast<double>(math::kl_weight(loss.weight, *loss.step)) * penalty;
  if (bound) value = -sum(bound) / static_cast<double>(bound.rows);
  *loss.loss = static_cast<float>(value);
  const bool finite = std::isfinite(*loss.loss);
  if (loss.step_moments != nullptr) {
    if (finite) merge_moments(loss.step_moments, columns, loss.moments);
    std::fill_n(loss.step_moments, 1 + 2 * columns, 0.0);
  }
  if (!finite) return;
  loss.sums[metric::steps] += 1.0;
  loss.sums[metric::loss] += value;
  loss.sums[metric::reconstruction] += reconstruction;
  loss.sums[metric::kl] += kl;
  for (Index l = 0; l < latent; ++l) loss.sums[metric::kl_dims + l] += static_cast<double>(kl_dims[l]);
}

void CpuBackend::do_run(const LogProb& op) {
  const Index rows = op.outputs.rows, samples = rows / op.x.rows, cols = op.x.cols, width = op.outputs.cols;
  chunks(rows, std::max<Index>(1, 8192 / cols), [&](Index, Index begin, Index end) {
    for (Index r = begin; r < end; ++r)
      op.log_p.f32()[r] =
          p_.log_prob_row(op.likelihood, op.missing, op.outputs.f32() + r * width, op.x.f32() + r / samples * cols,
                          cols, math::at(op.row_weight, r), op.doutputs ? op.doutputs.f32() + r * width : nullptr);
  });
  if (op.loss.given()) elbo_loss(op.log_p, op.loss);
}

void CpuBackend::do_run(const GaussianLogProb& op) {
  const ConstView mean = op.mean, log_scale = op.log_scale;
  const Index samples = mean.rows / op.x.rows, cols = mean.cols;
  // The scale of each dimension, and the part of log p that does not depend on x; of a missing value there is none.
  std::vector<float> inv_scale(static_cast<std::size_t>(cols));
  const auto clamped = [&](Index d) {
    const float raw = log_scale.f32()[log_scale.cols == 1 ? 0 : d];
    return op.learned ? math::clamp(raw, kLogScaleMin, kLogScaleMax) : raw;
  };
  const auto constant_of = [&](const auto& counts) {
    double constant = 0.0;
    for (Index d = 0; d < cols; ++d)
      if (counts(d)) constant -= clamped(d) + 0.918938533204672742;  // log(2 pi) / 2
    return constant;
  };
  for (Index d = 0; d < cols; ++d) inv_scale[static_cast<std::size_t>(d)] = std::exp(-clamped(d));
  const double constant = constant_of([](Index) { return true; });
  const Index chunk = std::max<Index>({1, 8192 / cols, mean.rows / 64});
  if (op.dlog_scale) partial_.assign(static_cast<std::size_t>(chunk_count(mean.rows, chunk) * cols), 0.0f);
  chunks(mean.rows, chunk, [&](Index c, Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const float* const x = op.x.f32() + r / samples * cols;
      const float squares = p_.gaussian_row(op.missing, mean.f32() + r * cols, x, inv_scale.data(), cols,
                                            math::at(op.row_weight, r), op.dmean ? op.dmean.f32() + r * cols : nullptr,
                                            op.dlog_scale ? partial_.data() + c * cols : nullptr);
      const double of_row = op.missing ? constant_of([x](Index d) { return !math::is_missing(x[d]); }) : constant;
      op.log_p.f32()[r] = static_cast<float>(of_row - 0.5 * static_cast<double>(squares));
    }
  });
  if (op.loss.given()) elbo_loss(op.log_p, op.loss);
  if (!op.dlog_scale) return;
  std::vector<float> gradient(static_cast<std::size_t>(cols));
  combine(partial_, cols, gradient.data());
  if (log_scale.cols == 1) {
    double sum = 0.0;
    for (float g : gradient) sum += static_cast<double>(g);
    gradient = {static_cast<float>(sum)};
  }
  for (Index d = 0; d < log_scale.cols; ++d) {
    const float g =
        math::clamp_gradient(gradient[static_cast<std::size_t>(d)], log_scale.f32()[d], kLogScaleMin, kLogScaleMax);
    float& to = op.dlog_scale.f32()[d];
    to = op.gradients == Gradients::add ? to + g : g;
  }
}

void CpuBackend::do_run(const DrawData& op) {
  const Index cols = op.x.cols, width = op.outputs.cols;
  std::vector<float> log_scale(op.log_scale.f32(), op.log_scale.f32() + op.log_scale.size());
  if (op.learned)
    for (float& s : log_scale) s = math::clamp(s, kLogScaleMin, kLogScaleMax);
  const Draw draw = draw_of(op.noise, op.noise.stream);
  chunks(op.x.rows, std::max<Index>(1, 4096 / cols), [&](Index, Index begin, Index end) {
    for (Index r = begin; r < end; ++r)
      p_.draw_row(op.likelihood, op.outputs.f32() + r * width, log_scale.data(), op.log_scale.cols, draw,
                  static_cast<std::uint64_t>((op.noise.first_row + r) * cols), cols, op.x.f32() + r * cols);
  });
}

}  // namespace cuvae::cpu
