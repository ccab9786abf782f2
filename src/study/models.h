// The models whose gradients are measured: the user's checkpoint, or models trained here and kept in the output folder.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "study/suite.h"

namespace cuvae::bench {

/// The factors that are varied, one at a time.
struct Point {
  std::string stage = "mid";  ///< init, mid, end; or checkpoint
  Index layers = 1, latent = 20, samples = 5, batch = 32;
  LatentKind kind = LatentKind::gaussian;
  /// The estimator that times are compared with, and that trains the model.
  Estimator base() const { return kind == LatentKind::bernoulli ? Estimator::rloo : Estimator::pathwise; }
  std::string name() const;
  Json json() const;
};

/// The base point of the variation. With a checkpoint, it has the checkpoint's shape.
Point base_point(const Context& context);
/// The expected time of one gradient, in seconds.
double gradient_seconds(const Context& context, const Point& point, Estimator estimator);

/// The configuration of a model and a copy of its parameters in host memory.
struct Model {
  VaeConfig config;
  std::vector<float> params;
};

class Models {
 public:
  explicit Models(Context& context) : context_(context) {}
  const Model& at(const Point& point);
  /// A trainer at that point with the noise of `seed`, and the fixed batch for it.
  std::unique_ptr<Trainer> trainer(const Point& point, const Variant& variant, std::uint64_t seed);
  ConstView batch(Index rows);
  /// Trains nvil's network on other batches while the model does not change. Does nothing for other estimators.
  void fit_baseline(Trainer& trainer);
  double fit_seconds(const Point& point, Estimator estimator) const;
  /// The expected time of training the point's model, or 0 if another cell's expected time already includes it.
  double training_seconds(const Point& point) const;

 private:
  void train(const Point& point, const std::filesystem::path& path);
  std::filesystem::path path_of(const Point& point) const;
  Context& context_;
  std::filesystem::path path_;
  Model model_;  // the last one that was requested
  Buffer x_;
  Index x_rows_ = 0;
};

/// Batches of a training run from the bytes of the data, without the remainder of an epoch. For training loops that
/// measure their own time.
class Feed {
 public:
  Feed(Backend& backend, const Dataset& data, Index batch, Binarize binarize, std::uint64_t seed);
  /// With stochastic binarization, the pixels are binarized anew in each step.
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

VaeConfig model_for(const Dataset& data, Index layers, Index width, Index latent,
                    LatentKind kind = LatentKind::gaussian);

}  // namespace cuvae::bench
