// Examples of a data set, batch by batch on the backend, with the noise of evaluation.
#pragma once
#include <algorithm>
#include <utility>

#include "evaluate/evaluate_rows.h"
#include "evaluate/row_batches.h"

namespace cuvae {

class ExampleBatches {
 public:
  /// `samples` are those of an example that are on the backend at once. Throws Error as evaluate() does.
  ExampleBatches(const Vae& vae, const Dataset& data, std::vector<std::uint32_t> rows, const EvaluateOptions& options,
                 Index samples)
      : vae_(vae),
        options_(options),
        rows_(checked(vae, data, std::move(rows), options, samples)),
        data_(vae.backend(), vae.standardization().apply(data)),
        batch_(std::min(options.batch, count())),
        batches_(vae.backend(), data_, rows_, batch_),
        step_(vae.backend().allocate(sizeof kEvaluationStep)),
        x_(vae.backend().allocate(static_cast<std::size_t>(batch_ * vae.config().data_dim) *
                                  size_of(vae.backend().activation_type()))) {}

  Index count() const { return static_cast<Index>(rows_.size()); }
  Index batch() const { return batch_; }  ///< the most rows of a batch
  Noise noise(Stream stream, Index first) const { return {options_.seed, stream, step_.as<std::uint32_t>(), first}; }
  void set_step(std::uint32_t step) { vae_.backend().upload(step_.data(), &step, sizeof step); }

  /// Writes the conditions of the batch that begins with row `first` to where a pass reads them: see Vae::conditions().
  void take_conditions(Index first, View conditions) { batches_.gather(first, conditions); }

  /// f(first, x) for each batch of rows x [n, D], the first of which is row `first`. The step is kEvaluationStep.
  template <class F>
  void for_each(F f) {
    for (Index first = 0; first < count(); first += batch_) {
      const View x =
          x_.view(std::min(batch_, count() - first), vae_.config().data_dim, vae_.backend().activation_type());
      set_step(kEvaluationStep);
      batches_.gather(first, options_.binarize, noise(Stream::binarize, first), x);
      f(first, x);
    }
  }

 private:
  static std::vector<std::uint32_t> checked(const Vae& vae, const Dataset& data, std::vector<std::uint32_t> rows,
                                            const EvaluateOptions& options, Index samples) {
    check_options(rows, options.samples, options.batch, samples);
    check_rows(vae, data, rows, options.binarize);
    return rows;
  }

  const Vae& vae_;
  EvaluateOptions options_;
  std::vector<std::uint32_t> rows_;
  ResidentData data_;
  Index batch_;
  RowBatches batches_;
  Buffer step_, x_;
};

/// Throws Error unless the model has one layer of Gaussian latents; `what` needs it.
inline void require_one_gaussian_layer(const Vae& vae, const char* what) {
  const VaeConfig& model = vae.config();
  const std::size_t layers = vae.layers().size();
  if (layers > 1 || model.has_bernoulli_latents())
    throw Error(std::string("evaluate: ") + what + " needs one layer of Gaussian latents but the model has " +
                std::to_string(layers) + (layers == 1 ? " layer of " : " layers of ") +
                std::string(to_string(model.latent_kind)) + " latents");
}

}  // namespace cuvae
