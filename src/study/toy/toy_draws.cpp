// The library's ops on a posterior without an encoder. The host computes f and its derivative.
#include <algorithm>

#include "study/toy/toy.h"

namespace cuvae::bench {
namespace {

constexpr std::uint32_t kBurnIn = 40;  // batches until the running mean has settled: 0.9^40 = 0.015

}  // namespace

ToyDraws::ToyDraws(Backend& backend, Index d, Index samples, std::uint64_t seed)
    : backend_(backend),
      d_(d),
      samples_(samples),
      batch_(std::max<Index>(64, 8192 / (d * samples))),
      rows_(batch_ * samples),
      seed_(seed) {
  const auto floats = [&](Index rows, Index cols) {
    buffers_.push_back(backend_.allocate(static_cast<std::size_t>(rows * cols) * sizeof(float)));
    return buffers_.back().view(rows, cols);
  };
  stats_ = floats(batch_, 2 * d), dstats_ = floats(batch_, 2 * d), kl_ = floats(batch_, 1), kl_dims_ = floats(1, d);
  z_ = floats(rows_, d), dz_ = floats(rows_, d), log_p_ = floats(rows_, 1);
  log_p_z_ = floats(rows_, 1), log_q_ = floats(rows_, 1), score_norm_ = floats(rows_, 1);
  step_ = backend.allocate(sizeof(std::uint32_t));
  host_z_.resize(static_cast<std::size_t>(rows_ * d)), host_dz_ = host_z_;
  host_f_.resize(static_cast<std::size_t>(rows_)), host_dstats_.resize(static_cast<std::size_t>(batch_ * 2 * d));
}

// The sum over dimensions of f, or of log N(z; 0, 1), at each row of z.
void ToyDraws::evaluate(ConstView z, View log_p, const ToyFunction* f) {
  std::vector<float> points(static_cast<std::size_t>(z.rows * d_)), values;
  backend_.download(points.data(), z.data, points.size() * sizeof(float));
  for (auto at = points.begin(); at != points.end(); at += d_) {
    double sum = 0;
    for (Index l = 0; l < d_; ++l)
      sum += f != nullptr ? f->value(static_cast<double>(at[l])) : log_normal(static_cast<double>(at[l]));
    values.push_back(static_cast<float>(sum));
  }
  backend_.upload(log_p.data, values.data(), values.size() * sizeof(float));
}

ConstView ToyDraws::at_probes(ProbeKind kind, const Noise& noise, const ToyFunction* f) {
  if (!probes_) {
    const Index count = batch_ * probes_of_example(kind, samples_, d_);
    for (View* view : {&probes_, &log_p_probes_}) {
      const Index cols = view == &probes_ ? d_ : 1;
      buffers_.push_back(backend_.allocate(static_cast<std::size_t>(count * cols) * sizeof(float)));
      *view = buffers_.back().view(count, cols);
    }
  }
  backend_.run(PlaceProbes{.kind = kind, .stats = stats_, .noise = noise, .probes = probes_});
  evaluate(probes_, log_p_probes_, f);
  return log_p_probes_;
}

void ToyDraws::step(const Variant& v, EncoderGradient& estimator, const ToyFunction* f) {
  const Noise noise{seed_, Stream::latent, step_.as<std::uint32_t>(), 0, v.antithetic};
  backend_.run(SampleGaussian{stats_, noise, z_, kl_, kl_dims_, nullptr, log_p_z_, log_q_, score_norm_});
  if (uses_probes(v.estimator)) {
    evaluate(z_, log_p_, f);
  } else if (f != nullptr) {
    backend_.download(host_z_.data(), z_.data, host_z_.size() * sizeof(float));
    for (std::size_t r = 0; r < host_f_.size(); ++r) {  // of one dimension
      const double z = static_cast<double>(host_z_[r]);
      host_f_[r] = static_cast<float>(f->value(z));
      host_dz_[r] = static_cast<float>(-f->slope(z) / static_cast<double>(rows_));
    }
    backend_.upload(log_p_.data, host_f_.data(), host_f_.size() * sizeof(float));
    backend_.upload(dz_.data, host_dz_.data(), host_dz_.size() * sizeof(float));
  }
  const SampleGroups groups{batch_, samples_};
  const auto log_p_is_there = [](const RowFactor&, const ElboLoss&, bool) {};
  estimator.weigh({log_p_, log_p_z_, log_q_, score_norm_}, v.cost, {}, groups, {}, RunningMeans::update,
                  log_p_is_there);
  // A KL in closed form is no part of the cost. Others weigh what they estimate from the samples.
  const KlWeight weight{.beta = has_closed_form_kl(v.estimator, v.cost) ? 0.0f : 1.0f};
  estimator.backward({stats_, noise, weight, kl_dims_, dstats_, groups}, v.cost, log_p_, dz_,
                     [&] { return at_probes(traits(v.estimator).probes, noise, f); });
}

ToyDraws::Result ToyDraws::draw(const Variant& v, const std::vector<double>& mu, const ToyFunction* f, double seconds,
                                double most_draws) {
  std::vector<float> stats;
  for (Index b = 0; b < batch_; ++b) {
    for (const double m : mu) stats.push_back(static_cast<float>(m));
    stats.insert(stats.end(), mu.size(), 0.0f);  // log variances of one
  }
  backend_.upload(stats_.data, stats.data(), stats.size() * sizeof(float));
  backend_.zero(log_p_.data, static_cast<std::size_t>(rows_) * sizeof(float));
  backend_.zero(dz_.data, host_dz_.size() * sizeof(float));
  EncoderGradient estimator(backend_, v.estimator, batch_, samples_, 1, seed_, 0.0f);
  const std::uint32_t first = v.estimator == Estimator::score_mean ? kBurnIn : 0;

  Result result;
  const double begin = now();
  for (std::uint32_t s = 0; s < first + 4 || (now() - begin < seconds && result.mu.count() < most_draws); ++s) {
    backend_.upload(step_.data(), &s, sizeof s);
    step(v, estimator, f);
    if (s < first) continue;
    backend_.download(host_dstats_.data(), dstats_.data, host_dstats_.size() * sizeof(float));
    for (Index b = 0; b < batch_; ++b) {  // dstats is the gradient of -mean(f) over the batch, by mu and 2 log sigma
      const float* row = host_dstats_.data() + b * 2 * d_;
      result.mu.add(-static_cast<double>(row[0]) * static_cast<double>(batch_));
      result.sigma.add(-2 * static_cast<double>(row[d_]) * static_cast<double>(batch_));
    }
  }
  return result;
}

PowerSums ToyDraws::decoder(double seconds, double most_draws) {
  backend_.zero(stats_.data, host_dstats_.size() * sizeof(float));
  const Buffer theta = backend_.allocate(host_z_.size() * sizeof(float)), log_scale = backend_.allocate(sizeof(float));
  const Noise noise{seed_, Stream::latent, step_.as<std::uint32_t>()};
  PowerSums sums;
  const double begin = now();
  for (std::uint32_t s = 0; s < 4 || (now() - begin < seconds && sums.count() < most_draws); ++s) {
    backend_.upload(step_.data(), &s, sizeof s);
    backend_.run(SampleGaussian{stats_, noise, z_, kl_, kl_dims_});
    backend_.run(GaussianLogProb{theta.view(rows_, d_), z_, log_scale.view(1, 1), 1.0f, log_p_, dz_, {}});
    backend_.download(host_dz_.data(), dz_.data, host_dz_.size() * sizeof(float));
    for (const float g : host_dz_) sums.add(static_cast<double>(g));
  }
  return sums;
}

}  // namespace cuvae::bench
