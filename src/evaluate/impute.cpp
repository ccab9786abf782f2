#include "cuvae/impute.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "evaluate/evaluate_rows.h"
#include "evaluate/log_weights.h"
#include "evaluate/weighted_samples.h"
#include "math/host_noise.h"
#include "math/likelihoods.h"
#include "math/philox.h"
#include "model/read_values.h"

namespace cuvae {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// An example and its weights so far, relative to the largest one.
struct Example {
  Index row;                   // of the data
  std::vector<Index> missing;  // columns
  LogWeights weights;
  std::vector<double> sums;  // single imputation: sum_k w_k E[x|z_k] of each missing value
  double largest = -std::numeric_limits<double>::infinity(), total = 0;

  /// The weight of the next sample, which is then part of `total`.
  double take(double log_w) {
    if (log_w > largest) {
      const double factor = std::exp(largest - log_w);
      total *= factor;
      for (double& sum : sums) sum *= factor;
      largest = log_w;
    }
    const double w = std::exp(log_w - largest);
    total += w;
    return w;
  }
};

/// The outputs of the decoder for the values of a sample, [n D] as LogProb takes them.
template <class Formula>
struct Outputs {
  const float* of_sample;
  Index dim;
  std::array<float, Formula::outputs> at(Index column) const {
    std::array<float, Formula::outputs> o;
    for (std::size_t i = 0; i < o.size(); ++i) o[i] = of_sample[static_cast<Index>(i) * dim + column];
    return o;
  }
};

class Imputer {
 public:
  Imputer(const Vae& vae, const ImputeOptions& options, Imputation& result)
      : vae_(vae), options_(options), result_(result), dim_(vae.config().data_dim), scale_(vae.likelihood_scale()) {}

  /// Takes in a chunk of samples, the first of which is number k, of examples of which the first is number `first`.
  void add(std::vector<Example>& examples, Index first, Index k, const WeightedSamples::Chunk& chunk) {
    outputs_.resize(static_cast<std::size_t>(chunk.outputs.size()));
    read_values(vae_.backend(), chunk.outputs, outputs_.data());
    math::with_likelihood(vae_.config().likelihood, [&]<class Formula>() {
      const double* log_w = chunk.log_w;
      Outputs<Formula> outputs{outputs_.data(), dim_};
      for (std::size_t b = 0; b < examples.size(); ++b) {
        examples[b].weights.add(log_w, chunk.samples);
        for (Index i = 0; i < chunk.samples; ++i, outputs.of_sample += chunk.outputs.cols) {
          const double w = examples[b].take(*log_w++);
          if (options_.draws == 0)
            add_mean(examples[b], w, outputs);
          else
            resample(examples[b], static_cast<std::uint64_t>(first) + b, k + i, w, outputs);
        }
      }
    });
  }

  void finish(const Example& e) {
    for (std::size_t j = 0; j < e.sums.size(); ++j) set(0, e, e.missing[j], static_cast<float>(e.sums[j] / e.total));
  }

 private:
  template <class Formula>
  static void add_mean(Example& e, double w, const Outputs<Formula>& outputs) {
    for (std::size_t j = 0; j < e.sums.size(); ++j)
      e.sums[j] += w * static_cast<double>(Formula::mean(outputs.at(e.missing[j]).data()));
  }

  // Each copy takes sample k in place of an earlier one with probability w_k / sum_{j <= k} w_j: in the end it has each
  // with its normalized weight.
  template <class Formula>
  void resample(const Example& e, std::uint64_t number, Index k, double w, const Outputs<Formula>& outputs) {
    const auto M = static_cast<std::uint64_t>(options_.draws), K = static_cast<std::uint64_t>(options_.samples);
    for (std::uint64_t m = 0; m < M; ++m) {
      const std::uint64_t copy = number * M + m;
      const std::uint32_t word = math::philox_word(options_.seed, static_cast<std::uint32_t>(Stream::resampling),
                                                   kEvaluationStep, copy * K + static_cast<std::uint64_t>(k));
      if ((static_cast<double>(word) + 0.5) * 0x1p-32 * e.total > w) continue;
      for (const Index column : e.missing) {
        const std::uint64_t index = copy * static_cast<std::uint64_t>(dim_) + static_cast<std::uint64_t>(column);
        set(static_cast<Index>(m), e, column, draw<Formula>(outputs.at(column).data(), column, index));
      }
    }
  }

  // A sample of p(x|z) in the model's units.
  template <class Formula>
  float draw(const float* outputs, Index column, std::uint64_t index) const {
    const auto normal = [&] {
      return standard_normals(options_.seed, Stream::data_sample, kEvaluationStep, index, 1).front();
    };
    if constexpr (!math::takes_values_alone<Formula>) {
      return outputs[0] + scale_of(column) * normal();
    } else if constexpr (Formula::from_normal) {
      return Formula::draw(outputs, normal());
    } else {
      return Formula::draw(
          outputs, math::uniform(math::philox_word(options_.seed, static_cast<std::uint32_t>(Stream::data_sample),
                                                   kEvaluationStep, index)));
    }
  }

  float scale_of(Index column) const {
    const auto d = static_cast<std::size_t>(column) % scale_.size();
    const Standardization& s = vae_.standardization();
    return s ? static_cast<float>(static_cast<double>(scale_[d]) / s.scale[d]) : scale_[d];
  }

  void set(Index copy, const Example& e, Index column, float value) {
    result_.completed[static_cast<std::size_t>((copy * result_.examples + e.row) * dim_ + column)] =
        vae_.standardization().undo(value, static_cast<std::size_t>(column));
  }

  const Vae& vae_;
  const ImputeOptions& options_;
  Imputation& result_;
  Index dim_;
  std::vector<float> scale_, outputs_;
};

// The data in one copy, and the numbers of what is missing in them.
std::vector<std::uint32_t> copy_data(const Dataset& data, Imputation& result) {
  std::vector<std::uint32_t> incomplete;
  result.examples = data.rows();
  for (Index i = 0; i < data.rows(); ++i) {
    const std::vector<float> row = data.row(i);
    result.completed.insert(result.completed.end(), row.begin(), row.end());
    const Index missing = std::count_if(row.begin(), row.end(), [](float v) { return std::isnan(v); });
    result.missing += missing;
    if (missing > 0) incomplete.push_back(static_cast<std::uint32_t>(i));
  }
  result.incomplete = static_cast<Index>(incomplete.size());
  return incomplete;
}

Example example_of(const Dataset& data, std::uint32_t row, const ImputeOptions& options) {
  Example e{.row = row, .missing = {}, .weights = LogWeights(options.samples), .sums = {}};
  const std::vector<float> x = data.row(row);
  for (Index d = 0; d < data.cols(); ++d)
    if (std::isnan(x[static_cast<std::size_t>(d)])) e.missing.push_back(d);
  if (options.draws == 0) e.sums.resize(e.missing.size());
  return e;
}

}  // namespace

Imputation impute(const Vae& vae, const Dataset& data, const ImputeOptions& options) {
  if (!vae.config().missing_values) throw Error("impute: the model takes no missing values");
  if (options.draws < 0) throw Error("impute: draws is " + std::to_string(options.draws) + " but must be at least 0");
  check_rows(vae, data, {}, options.binarize);
  Imputation result;
  const std::vector<std::uint32_t> rows = copy_data(data, result);
  const std::vector<float> one_copy = result.completed;
  for (Index m = 1; m < options.draws; ++m)
    result.completed.insert(result.completed.end(), one_copy.begin(), one_copy.end());
  result.mean_effective = result.least_effective = kNaN;
  if (rows.empty()) return result;

  const ResidentData resident(vae.backend(), vae.standardization().apply(data));
  WeightedSamples samples(vae, resident, rows,
                          {Bound::iwae, options.samples, options.batch, options.binarize, options.seed});
  Imputer imputer(vae, options, result);
  double sum = 0, least = std::numeric_limits<double>::infinity();
  for (Index first = 0; first < result.incomplete; first += samples.batch()) {
    const Index n = std::min(samples.batch(), result.incomplete - first);
    std::vector<Example> examples;
    for (Index b = 0; b < n; ++b)
      examples.push_back(example_of(data, rows[static_cast<std::size_t>(first + b)], options));
    samples.begin(first, n);
    for (Index k = 0; k < options.samples; k += kBoundChunk) imputer.add(examples, first, k, samples.chunk(k));
    for (const Example& e : examples) {
      imputer.finish(e);
      sum += e.weights.effective();
      least = std::min(least, e.weights.effective());
    }
  }
  result.mean_effective = sum / static_cast<double>(result.incomplete), result.least_effective = least;
  return result;
}

}  // namespace cuvae
