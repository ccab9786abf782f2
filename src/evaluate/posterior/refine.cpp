#include "cuvae/refine.h"

#include "evaluate/example_batches.h"
#include "io/text.h"

namespace cuvae {
namespace {

const Vae& checked(const Vae& vae, Index batch, const RefineOptions& o) {
  require_one_gaussian_layer(vae, "a refined posterior");
  if (vae.backend().activation_type() != DType::f32)
    throw Error("evaluate: a refined posterior needs activations of f32 but those of " + vae.backend().name() +
                " are bf16");
  const auto in_range = [](const char* name, Index value) {
    if (value < 1 || value > 0x7fffffff)
      throw Error(std::string("refine: ") + name + " is " + std::to_string(value) + " but must be 1 to 2147483647");
  };
  in_range("steps", o.steps), in_range("samples", o.samples), in_range("batch", batch);
  if (!(o.learning_rate > 0 && std::isfinite(o.learning_rate)))
    throw Error("refine: learning_rate is " + number(o.learning_rate) + " but must be above 0 and finite");
  return vae;
}

}  // namespace

struct Refinement::Buffers {
  Buffers(const Vae& model, Index batch, const RefineOptions& o)
      : vae(checked(model, batch, o)),
        options(o),
        a(vae.allocate(batch, o.samples)),
        g(vae.allocate_gradients(batch, o.samples)),
        m(floats(statistics(batch))),
        v(floats(statistics(batch))),
        dstats(floats(statistics(batch))),
        state(backend().allocate(sizeof(StepState))),
        loss(floats(1)),
        sums(backend().allocate(metric::kl_dims * sizeof(double))) {}

  Backend& backend() const { return vae.backend(); }
  Buffer floats(Index n) const { return backend().allocate(static_cast<std::size_t>(n) * sizeof(float)); }
  Index statistics(Index batch) const { return batch * 2 * vae.config().latent; }
  const std::uint32_t* step() const { return &state.as<StepState>()->step; }

  void gradient(ConstView x, const Noise& noise, View stats) const;
  OptimizerStep optimizer() const;

  const Vae& vae;
  RefineOptions options;
  VaeActivations a;
  VaeGradients g;
  Buffer m, v, dstats;       // [B, 2L]
  Buffer state, loss, sums;  // of the optimizer; the loss is not computed and is 0
};

Refinement::Refinement(const Vae& vae, Index batch, const RefineOptions& options)
    : buffers_(std::make_unique<Buffers>(vae, batch, options)) {}
Refinement::Refinement(Refinement&&) noexcept = default;
Refinement::~Refinement() = default;

// Minus the gradient of the sum of the examples' ELBOs: each example has its own.
void Refinement::Buffers::gradient(ConstView x, const Noise& noise, View stats) const {
  const VaeConfig& model = vae.config();
  const Index rows = x.rows * options.samples;
  const float share = 1.0f / static_cast<float>(options.samples);

  const View output = vae.decode(vae.sample_latents(stats, noise, a), a);  // [R, n D]
  vae.log_prob_with_gradient(output, x, -share, nullptr, a);               // doutput in its place
  vae.decoder_backward(output, nullptr, a, g, true);                       // dz [R, L]
  const bool standard = model.prior == Prior::standard;
  if (!standard) vae.prior_backward(0, rows, -share, nullptr, a, g, true);  // added to dz
  backend().run(GaussianBackward{.terms = {.density = share, .stick_the_landing = true, .standard_prior = standard},
                                 .stats = stats,
                                 .noise = noise,
                                 .dz = g.layers[0].dz.view(rows, model.latent),
                                 .dstats = dstats.view(stats.rows, stats.cols)});
}

OptimizerStep Refinement::Buffers::optimizer() const {
  OptimizerStep step;
  step.learning_rate.kind = LearningRate::Kind::cosine;
  step.learning_rate.rate = options.learning_rate;
  step.learning_rate.total_steps = static_cast<std::uint32_t>(options.steps);
  return step;
}

View Refinement::conditions(Index rows) const { return buffers_->vae.conditions(rows, buffers_->a); }

void Refinement::refine(ConstView x, Index first_row, View stats) {
  Buffers& b = *buffers_;
  Backend& backend = b.backend();
  for (const Buffer* buffer : {&b.m, &b.v, &b.state}) backend.zero(buffer->data(), buffer->bytes());
  const Noise noise{b.options.seed, Stream::refine, b.step(), first_row};
  const Adam update{.arena = {.params = stats.f32(),
                              .grads = b.dstats.as<float>(),
                              .m = b.m.as<float>(),
                              .v = b.v.as<float>(),
                              .size = stats.size()},
                    .step = b.optimizer(),
                    .loss = b.loss.as<float>(),
                    .state = b.state.as<StepState>(),
                    .sums = b.sums.as<double>()};
  for (Index step = 0; step < b.options.steps; ++step) {
    b.gradient(x, noise, stats);
    backend.run(update);
  }
}

}  // namespace cuvae
