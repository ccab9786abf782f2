#include "cuvae/probes.h"

#include <algorithm>

#include "cuvae/estimator.h"
#include "ops/check.h"

namespace cuvae {
namespace {

ConstView rows_of(ConstView v, Index first, Index rows) {
  return {static_cast<const char*>(v.data) + static_cast<std::size_t>(first * v.cols) * size_of(v.dtype), rows, v.cols,
          v.dtype};
}

}  // namespace

Probes::Probes(const Vae& vae, Estimator estimator, Index batch, Index samples, Index values_of_a_slice)
    : estimator_(estimator),
      batch_(batch),
      of_example_(uses_probes(estimator) ? probes_of_example(traits(estimator).probes, samples, vae.config().latent)
                                         : 0) {
  Backend& backend = vae.backend();
  const DType type = backend.activation_type();
  if (of_example_ > 0x7fffffff)
    throw Error("training: " + std::to_string(samples) + " samples of latent width " +
                std::to_string(vae.config().latent) + " make " + std::to_string(of_example_) +
                " probes an example but there may be at most 2147483647");
  const Index widest = std::max(vae.decoder().out(), vae.decoder().widest_hidden());
  slice_ = std::clamp<Index>(values_of_a_slice / (of_example_ * widest), 1, batch);
  decoder_ = vae.decoder().allocate(backend, slice_ * of_example_, type);
  z_ = backend.allocate(static_cast<std::size_t>(slice_ * of_example_ * vae.config().latent) * size_of(type));
  if (vae.config().is_conditional())
    input_ = backend.allocate(static_cast<std::size_t>(slice_ * of_example_ * vae.decoder().in()) * size_of(type));
  log_p_ = backend.allocate(static_cast<std::size_t>(batch * of_example_) * sizeof(float));
}

ConstView Probes::log_prob(const Vae& vae, ConstView stats, ConstView x, const Noise& noise,
                           ConstView conditions) const {
  Backend& backend = vae.backend();
  if (of_example_ == 0) throw Error("log_prob: " + std::string(to_string(estimator_)) + " has no probes");
  if (stats.rows > batch_)
    throw Error("log_prob: stats is " + shape(stats) + " but the probes were made for " + std::to_string(batch_) +
                " rows");
  if (x.rows != stats.rows) throw Error("log_prob: stats is " + shape(stats) + " but x is " + shape(x));
  if (conditions.cols != vae.config().condition_dim || (conditions && conditions.rows != stats.rows))
    throw Error("log_prob: stats is " + shape(stats) + " and the model reads " +
                std::to_string(vae.config().condition_dim) + " condition columns but conditions is " +
                shape(conditions));
  for (Index first = 0; first < stats.rows; first += slice_) {
    const Index examples = std::min(slice_, stats.rows - first), rows = examples * of_example_;
    const View z = z_.view(rows, vae.config().latent, backend.activation_type());
    Noise of_slice = noise;
    of_slice.first_row += first;
    backend.run(PlaceProbes{traits(estimator_).probes, rows_of(stats, first, examples), of_slice, z});
    const View input = conditions ? input_.view(rows, vae.decoder().in(), z.dtype) : z;
    if (conditions) backend.run(JoinColumns{z, rows_of(conditions, first, examples), input});
    const View output = vae.decoder().forward(backend, vae.weights(), input, decoder_);
    vae.log_prob(output, rows_of(x, first, examples), {log_p_.as<float>() + first * of_example_, rows, 1});
  }
  return log_p_.view(stats.rows * of_example_, 1);
}

}  // namespace cuvae
