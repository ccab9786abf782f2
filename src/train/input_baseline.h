// The baseline of the estimators nvil and nvil_scaled: a network C of the input and running moments of what it leaves
// of the cost. Mnih and Gregor 2014, sections 2.3 and 3.1.
#pragma once
#include "cuvae/group.h"
#include "cuvae/mlp.h"

namespace cuvae {

/// One hidden layer of 100 tanh units, which learns by Adam to minimise mean((f - C(x) - running mean)^2). Its
/// parameters lie in an arena of their own: the model's layout, files and gradient norm do not know of it.
class InputBaseline {
 public:
  /// For batches [B, D]; Glorot weights from the stream of initialization, under InitialNetwork::input_baseline.
  InputBaseline(Backend& backend, Index batch, Index data_dim, std::uint64_t seed);

  /// C(x) and the rest of what ScoreWeights takes for these baselines. x must stay until learn().
  void forward(ConstView x, ScoreWeights& op);
  /// One step of Adam by the gradient that ScoreWeights left, unless `loss` [1] is not finite. The place in the
  /// schedule is the number of these steps.
  void learn(ConstView x, const LearningRate& rate, const float* loss, Group* group);

  const ParameterLayout& layout() const { return layout_; }
  /// To be called when params was written, so that what products read follows.
  void refresh_weights();

  // What a checkpoint keeps: arenas by the layout, a StepState, and two RunningMean, of the mean and the variance.
  Buffer params, m, v, state, running;

 private:
  Weights weights() const { return {params.as<float>(), rounded_.data()}; }

  Backend& backend_;
  ParameterLayout layout_;
  Mlp network_;
  MlpActivations activations_;
  Buffer scratch_[2], doutput_, grads_, rounded_, sums_;  // sums_: required by Adam, never read
};

}  // namespace cuvae
