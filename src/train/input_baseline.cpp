#include "train/input_baseline.h"

#include "model/initialization.h"

namespace cuvae {
namespace {
constexpr Index kHidden = 100;
}

InputBaseline::InputBaseline(Backend& backend, Index batch, Index data_dim, std::uint64_t seed)
    : backend_(backend),
      network_("network", {data_dim, kHidden, 1}, Activation::tanh, layout_),
      activations_(network_.allocate(backend, batch, DType::f32)) {
  const auto floats = [&](Index n) { return backend.allocate(static_cast<std::size_t>(n) * sizeof(float)); };
  for (Buffer* arena : {&params, &m, &v, &grads_}) *arena = floats(layout_.size());
  state = backend.allocate(sizeof(StepState));
  running = backend.allocate(2 * sizeof(RunningMean));
  sums_ = backend.allocate(metric::kl_dims * sizeof(double));
  for (Buffer& b : scratch_) b = floats(batch * kHidden);
  doutput_ = floats(batch);
  if (backend.activation_type() == DType::bf16)
    rounded_ = backend.allocate(static_cast<std::size_t>(layout_.size()) * size_of(DType::bf16));

  std::vector<float> host(static_cast<std::size_t>(layout_.size()));
  draw_weights(network_, Initialization::glorot, seed, InitialNetwork::input_baseline, host);
  backend.upload(params.data(), host.data(), host.size() * sizeof(float));
  refresh_weights();
}

void InputBaseline::refresh_weights() {
  if (rounded_)
    backend_.run(RoundToBf16{params.view(1, layout_.size()), rounded_.view(1, layout_.size(), DType::bf16)});
}

void InputBaseline::forward(ConstView x, ScoreWeights& op) {
  op.mean = running.as<RunningMean>();
  op.variance = op.mean + 1;
  op.network = network_.forward(backend_, weights(), x, activations_);
  op.dnetwork = doutput_.view(x.rows, 1, backend_.activation_type());
}

void InputBaseline::learn(ConstView x, const LearningRate& rate, const float* loss, Group* group) {
  network_.backward(backend_, weights(), grads_.as<float>(), x, activations_,
                    doutput_.view(x.rows, 1, backend_.activation_type()), scratch_, {});
  if (group != nullptr) group->average(backend_, grads_.as<float>(), layout_.size());
  OptimizerStep step;
  step.learning_rate = rate;
  const Arena arena{params.as<float>(), grads_.as<float>(), m.as<float>(), v.as<float>(), nullptr,
                    layout_.size(),     rounded_.data()};
  backend_.run(Adam{arena, step, loss, state.as<StepState>(), sums_.as<double>()});
}

}  // namespace cuvae
