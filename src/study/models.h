// The models whose gradients are measured: trained here and kept in the output folder, or the user's.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "study/suite.h"

namespace cuvae::bench {

/// What is varied, one factor at a time.
struct Point {
  std::string stage = "mid";  ///< init, mid, end; or checkpoint
  Index layers = 1, latent = 20, samples = 5, batch = 32;
  std::string name() const;
  Json json() const;
};

/// Where one factor at a time is varied from; a checkpoint's own shape where one is given.
Point base_point(const Context& context);
/// Expected, of one gradient.
double gradient_seconds(const Context& context, const Point& point, Estimator estimator);

/// A model's shape and the host's copy of its parameters.
struct Model {
  VaeConfig config;
  std::vector<float> params;
};

class Models {
 public:
  explicit Models(Context& context) : context_(context) {}
  const Model& at(const Point& point);
  /// A trainer at that point whose noise is that of `seed`, and the fixed batch that it takes.
  std::unique_ptr<Trainer> trainer(const Point& point, const Variant& variant, std::uint64_t seed);
  ConstView batch(Index rows);
  /// Teaches nvil's network, beside a model that stays, by other batches than that one; nothing for other estimators.
  void fit_baseline(Trainer& trainer);
  double fit_seconds(const Point& point, Estimator estimator) const;
  /// Expected, of training the point's model, where no other cell's expectation has it yet.
  double training_seconds(const Point& point) const;

 private:
  void train(const Point& point, const std::filesystem::path& path);
  std::filesystem::path path_of(const Point& point) const;
  Context& context_;
  std::filesystem::path path_;
  Model model_;  // the last one asked for
  Buffer x_;
  Index x_rows_ = 0;
};

/// The run's steps from the bytes of the data, without an epoch's remainder; for training loops with their own clock.
class Feed {
 public:
  Feed(Backend& backend, const Dataset& data, Index batch, Binarize binarize, std::uint64_t seed);
  /// Where binarized by chance, anew in each step.
  ConstView next();

 private:
  Backend& backend_;
  Index rows_, cols_, batch_;
  Binarize binarize_;
  DType type_;
  std::uint64_t seed_;
  Buffer data_, order_, x_, device_step_;
  std::uint32_t step_ = 0;
};

VaeConfig model_for(const Dataset& data, Index layers, Index width, Index latent);

}  // namespace cuvae::bench
