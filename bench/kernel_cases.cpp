// The operations that cuvae-bench kernels measures.
#include <algorithm>
#include <memory>
#include <utility>

#include "cuda/error.h"
#include "cuvae/estimator.h"
#include "cuvae/likelihood.h"
#include "kernels.h"
#include "launch.h"

namespace cuvae::bench {
namespace {

constexpr Index D = 784, H = 400, L = 20, kParameters = 652824, kDigits = 60000, kWideLatent = 64, kComponents = 500,
                kUnits = 200;
constexpr std::pair<Index, Index> kLayers[] = {{D, H}, {H, 2 * L}, {L, H}, {H, D}};  // inputs, outputs

std::string text(Index rows, Index cols) { return std::to_string(rows) + " x " + std::to_string(cols); }
std::string text(Index batch, Index in, Index out) { return text(batch, in) + " -> " + std::to_string(out); }

KernelCase gather(Backend& b, const Randoms& randoms, Index rows, Index batch, Index cols) {
  const auto pixels =
      std::make_shared<Buffer>(randoms.make(static_cast<std::size_t>(rows * cols), DType::f32, Randoms::bytes));
  return {"gather_batch, u8, stochastic", text(batch, cols), 0, [=, &b](Arrays& a) {
            const View x = a.output(batch, cols, a.type());
            a.count(static_cast<double>(batch * cols));
            const auto* step = a.state<std::uint32_t>(1);
            const Index first = rows > batch ? a.number() * batch % (rows - batch) : 0;
            return [=, &b] {
              b.run(GatherBatch{{pixels->data(), rows, cols, DType::u8},
                                {nullptr, rows, nullptr, first},
                                Binarize::stochastic,
                                {1, Stream::binarize, step},
                                x});
            };
          }};
}

KernelCase linear(Backend& b, Index batch, Index in, Index out, Activation act) {
  return {"linear, " + std::string(to_string(act)), text(batch, in, out), 2.0 * static_cast<double>(batch * in * out),
          [=, &b](Arrays& a) {
            const View x = a.input(batch, in, a.type()), w = a.input(out, in, a.type()),
                       bias = a.input(1, out, a.type()), y = a.output(batch, out, a.type());
            return [=, &b] { b.run(Linear{x, w, bias, act, {}, y}); };
          }};
}

KernelCase linear_backward(Backend& b, Index batch, Index in, Index out, Activation below, bool needs_dx) {
  return {"linear_backward" + std::string(needs_dx ? "" : ", no dx"), text(batch, in, out),
          (needs_dx ? 4.0 : 2.0) * static_cast<double>(batch * in * out), [=, &b](Arrays& a) {
            const View x = a.input(batch, in, a.type()), w = a.input(out, in, a.type()),
                       dy = a.input(batch, out, a.type()), dw = a.output(out, in), db = a.output(1, out),
                       dx = needs_dx ? a.output(batch, in, a.type()) : View{};
            return [=, &b] { b.run(LinearBackward{x, w, dy, below, {}, dw, db, dx}); };
          }};
}

KernelCase sample(Backend& b, Index batch, Index latent) {
  return {"sample_gaussian", text(batch, latent), 0, [=, &b](Arrays& a) {
            const View stats = a.input(batch, 2 * latent), z = a.output(batch, latent, a.type()),
                       kl = a.output(batch, 1), kl_dims = a.output(1, latent);
            const auto* step = a.state<std::uint32_t>(1);
            return [=, &b] { b.run(SampleGaussian{stats, {1, Stream::latent, step}, z, kl, kl_dims}); };
          }};
}

KernelCase gaussian_backward(Backend& b, Index batch, Index latent) {
  return {"gaussian_backward", text(batch, latent), 0, [=, &b](Arrays& a) {
            const View stats = a.input(batch, 2 * latent), dz = a.input(batch, latent), kl_dims = a.input(1, latent),
                       dstats = a.output(batch, 2 * latent, a.type());
            const auto* step = a.state<std::uint32_t>(1);
            return [=, &b] {
              b.run(GaussianBackward{{}, stats, {1, Stream::latent, step}, dz, {}, kl_dims, 0.01f, dstats});
            };
          }};
}

// K = 1 here as above, so that the cost of the terms can be compared with the pathwise gradient's.
KernelCase latent_terms_backward(Backend& b, Estimator estimator, Index batch, Index latent) {
  return {"gaussian_backward, " + std::string(to_string(estimator)), text(batch, latent), 0, [=, &b](Arrays& a) {
            const View stats = a.input(batch, 2 * latent), kl_dims = a.input(1, latent),
                       dz = uses_path(estimator) ? a.input(batch, latent) : View{},
                       score = uses_score(estimator) ? a.input(batch, 1) : View{},
                       dstats = a.output(batch, 2 * latent, a.type());
            const auto* step = a.state<std::uint32_t>(1);
            const LatentTerms terms = latent_terms(estimator, Cost::elbo, batch, 1, {}, score);
            return [=, &b] {
              b.run(GaussianBackward{terms, stats, {1, Stream::latent, step}, dz, {}, kl_dims, 0.0f, dstats});
            };
          }};
}

KernelCase importance_weights(Backend& b, Index batch, Index samples) {
  return {"importance_weights", text(batch, samples), 0, [=, &b](Arrays& a) {
            const Index rows = batch * samples;
            const View p_x = a.input(rows, 1), p_z = a.input(rows, 1), q = a.input(rows, 1), bound = a.output(batch, 1),
                       weights = a.output(rows, 1);
            return [=, &b] { b.run(ImportanceWeights{p_x, p_z, q, bound, weights, {}}); };
          }};
}

KernelCase score_weights(Backend& b, Estimator estimator, Index batch, Index samples) {
  return {"score_weights, " + std::string(to_string(estimator)), text(batch, samples), 0, [=, &b](Arrays& a) {
            const Index rows = batch * samples;
            const View p_x = a.input(rows, 1), p_z = a.input(rows, 1), q = a.input(rows, 1), score = a.output(rows, 1);
            return [=, &b] { b.run(score_weights(estimator, Cost::elbo, p_x, p_z, q, samples, score)); };
          }};
}

KernelCase place_probes(Backend& b, Estimator estimator, Index batch, Index latent) {
  const Index rows = batch * probes_of_example(traits(estimator).probes, 1, latent);
  return {"place_probes, " + std::string(to_string(estimator)), text(rows, latent), 0, [=, &b](Arrays& a) {
            const View stats = a.input(batch, 2 * latent), probes = a.output(rows, latent, a.type());
            const auto* step = a.state<std::uint32_t>(1);
            return [=, &b] { b.run(PlaceProbes{traits(estimator).probes, stats, {1, Stream::latent, step}, probes}); };
          }};
}

KernelCase probe_backward(Backend& b, Estimator estimator, Index batch, Index latent) {
  const Index rows = batch * probes_of_example(traits(estimator).probes, 1, latent);
  return {"probe_backward, " + std::string(to_string(estimator)), text(batch, latent), 0, [=, &b](Arrays& a) {
            const View stats = a.input(batch, 2 * latent),
                       log_p = estimator == Estimator::delta ? a.input(batch, 1) : View{}, at_probes = a.input(rows, 1),
                       kl_dims = a.input(1, latent), dstats = a.output(batch, 2 * latent, a.type());
            const auto* step = a.state<std::uint32_t>(1);
            return [=, &b] {
              b.run(ProbeBackward{traits(estimator).probes,
                                  stats,
                                  {1, Stream::latent, step},
                                  log_p,
                                  at_probes,
                                  {},
                                  kl_dims,
                                  0.01f,
                                  dstats});
            };
          }};
}

KernelCase log_prob(Backend& b, Likelihood likelihood, Index rows, Index cols) {
  return {"log_prob, " + std::string(to_string(likelihood)), text(rows, cols), 0, [=, &b](Arrays& a) {
            const Index width = traits(likelihood).outputs * cols;
            const View outputs = a.input(rows, width, a.type()), x = a.input(rows, cols, a.type(), Randoms::bits),
                       log_p = a.output(rows, 1), doutputs = a.output(rows, width, a.type());
            return [=, &b] { b.run(LogProb{likelihood, outputs, x, -0.01f, log_p, doutputs}); };
          }};
}

KernelCase gaussian(Backend& b, Index rows, Index cols) {
  return {"gaussian_log_prob, a scale per dim", text(rows, cols), 0, [=, &b](Arrays& a) {
            const View mean = a.input(rows, cols, a.type()), x = a.input(rows, cols, a.type()),
                       log_scale = a.input(1, cols), log_p = a.output(rows, 1), dmean = a.output(rows, cols, a.type()),
                       dlog_scale = a.output(1, cols);
            return [=, &b] { b.run(GaussianLogProb{mean, x, log_scale, -0.01f, log_p, dmean, dlog_scale}); };
          }};
}

KernelCase latent_log_prob(Backend& b, Index rows, Index latent) {
  return {"latent_log_prob", text(rows, latent), 0, [=, &b](Arrays& a) {
            const View z = a.input(rows, latent, a.type()), stats = a.input(rows, 2 * latent),
                       log_p = a.output(rows, 1), dz = a.updated(rows, latent),
                       dstats = a.output(rows, 2 * latent, a.type());
            return [=, &b] { b.run(LatentLogProb{z, stats, -0.01f, log_p, false, dz, dstats}); };
          }};
}

KernelCase merge_gaussians(Backend& b, bool backward, Index rows, Index latent) {
  return {backward ? "merge_gaussians_backward" : "merge_gaussians", text(rows, latent), 0, [=, &b](Arrays& a) {
            const View prior = a.input(rows, 2 * latent), bottom_up = a.input(rows, 2 * latent),
                       merged = backward ? a.input(rows, 2 * latent, a.type()) : a.output(rows, 2 * latent),
                       dprior = backward ? a.updated(rows, 2 * latent, a.type()) : View{},
                       dbottom_up = backward ? a.output(rows, 2 * latent, a.type()) : View{};
            return [=, &b] {
              if (!backward) return b.run(MergeGaussians{prior, bottom_up, merged});
              b.run(MergeGaussiansBackward{prior, bottom_up, merged, dprior, dbottom_up, {}});
            };
          }};
}

KernelCase sample_bernoulli(Backend& b, Index batch, Index latent) {
  return {"sample_bernoulli", text(batch, latent), 0, [=, &b](Arrays& a) {
            const View logits = a.input(batch, latent), z = a.output(batch, latent, a.type()),
                       log_q = a.output(batch, 1);
            const auto* step = a.state<std::uint32_t>(1);
            return [=, &b] {
              b.run(SampleBernoulli{.logits = logits, .noise = {1, Stream::latent, step}, .z = z, .log_q = log_q});
            };
          }};
}

// With two samples a row, the fewest of an optimal baseline.
KernelCase bernoulli_backward(Backend& b, bool optimal, Index batch, Index latent) {
  return {
      optimal ? "bernoulli_backward, optimal" : "bernoulli_backward", text(2 * batch, latent), 0, [=, &b](Arrays& a) {
        const View score = a.input(2 * batch, 1), logits = a.input(batch, latent),
                   z = a.input(2 * batch, latent, a.type(), Randoms::bits), dlogits = a.output(batch, latent, a.type());
        return [=, &b] { b.run(BernoulliBackward{RowFactor(1.0f, score), optimal, logits, z, dlogits}); };
      }};
}

KernelCase bernoulli_log_prob(Backend& b, bool one_row, Index rows, Index latent) {
  return {one_row ? "bernoulli_log_prob, logits in one row" : "bernoulli_log_prob", text(rows, latent), 0,
          [=, &b](Arrays& a) {
            const Index n = one_row ? 1 : rows;
            const View z = a.input(rows, latent, a.type(), Randoms::bits), logits = a.input(n, latent),
                       log_p = a.output(rows, 1), dlogits = a.output(n, latent, one_row ? DType::f32 : a.type());
            return [=, &b] { b.run(BernoulliLogProb{z, logits, -0.01f, log_p, false, dlogits}); };
          }};
}

// The FLOPs are only those of the squares: a difference, a product and a multiply-add.
KernelCase mixture_log_prob(Backend& b, Index rows, Index latent, Index n) {
  return {"mixture_log_prob, " + std::to_string(n) + " components", text(rows, latent),
          4.0 * static_cast<double>(rows * latent * n), [=, &b](Arrays& a) {
            const View z = a.input(rows, latent, a.type()), components = a.input(n, 2 * latent), logits = a.input(1, n),
                       log_p = a.output(rows, 1), shares = a.output(rows, n), dz = a.updated(rows, latent),
                       dcomponents = a.output(n, 2 * latent), dlogits = a.output(1, n);
            return [=, &b] {
              b.run(MixtureLogProb{z, components, logits, -0.01f, log_p, false, shares, dz, dcomponents, dlogits});
            };
          }};
}

KernelCase moments(Backend& b, Index rows, Index cols) {
  return {"moments", text(rows, cols), 0, [=, &b](Arrays& a) {
            const View x = a.input(rows, cols);
            auto* acc = a.state<double>(1 + 2 * cols);
            return [=, &b] { b.run(Moments{x, acc}); };
          }};
}

KernelCase adam(Backend& b, Index size) {
  return {"adam", std::to_string(size), 0, [=, &b](Arrays& a) {
            const View grads = a.input(1, size), params = a.updated(1, size), m = a.updated(1, size),
                       v = a.updated(1, size, DType::f32, Randoms::bits);
            const View rounded = a.type() == DType::bf16 ? a.output(1, size, DType::bf16) : View{};
            auto* loss = a.state<float>(1);
            auto* state = a.state<StepState>(1);
            auto* sums = a.state<double>(metric::kl_dims);
            return [=, &b] {
              b.run(Adam{
                  {params.f32(), grads.f32(), m.f32(), v.f32(), nullptr, size, rounded.data}, {}, loss, state, sums});
            };
          }};
}

// Kernels that ops use in addition to products, alone.
KernelCase bias_activation(cudaStream_t stream, Index rows, Index cols) {
  return {"bias and gelu", text(rows, cols), 0, [=](Arrays& a) {
            const View y = a.updated(rows, cols, a.type()), bias = a.input(1, cols, a.type());
            const cuda::BiasActivation op{y, {}, bias, Activation::gelu};
            return [=] { cuda::check(launch(op, stream), "bias and gelu"); };
          }};
}

KernelCase relu_backward(cudaStream_t stream, Index rows, Index cols) {
  return {"relu backward", text(rows, cols), 0, [=](Arrays& a) {
            const View dx = a.updated(rows, cols, a.type()), y = a.input(rows, cols, a.type());
            const cuda::ActivationBackward op{dx, y, {}, Activation::relu};
            return [=] { cuda::check(launch(op, stream), "relu backward"); };
          }};
}

KernelCase column_sums(cudaStream_t stream, Index rows, Index cols) {
  return {"column sums", text(rows, cols), 0, [=](Arrays& a) {
            const View x = a.input(rows, cols, a.type()), sums = a.output(1, cols);
            const cuda::ColumnSums op{x, sums};
            const cuda::Scratch scratch{a.state<char>(static_cast<Index>(scratch_bytes(op))), a.state<unsigned>(1)};
            return [=] { cuda::check(launch(op, scratch, stream), "column sums"); };
          }};
}

KernelCase product(cuda::Gemm& gemm, const std::string& name, cuda::Op op_a, cuda::Op op_b, Index m, Index n, Index k) {
  return {"product " + name, std::to_string(m) + " x " + std::to_string(k) + " x " + std::to_string(n),
          2.0 * static_cast<double>(m * n * k), [=, &gemm](Arrays& arrays) {
            const DType type = arrays.type(), c_type = op_a == cuda::Op::none ? type : DType::f32;  // dw is float32
            const View a = arrays.input(m, k, type), b = arrays.input(k, n, type),
                       c = arrays.output(m, n, c_type);  // a transposed operand has the same size
            const cuda::Product p{op_a, op_b, m, n, k, a.data, b.data, c.data, type, c_type};
            return [=, &gemm] { gemm.run(p); };
          }};
}

}  // namespace

std::vector<KernelCase> step_cases(Backend& b, const Randoms& randoms, Index batch) {
  std::vector<KernelCase> cases{gather(b, randoms, kDigits, batch, D)};
  for (const auto& [in, out] : kLayers)
    cases.push_back(linear(b, batch, in, out, out == H ? Activation::relu : Activation::identity));
  cases.push_back(sample(b, batch, L));
  cases.push_back(log_prob(b, Likelihood::bernoulli, batch, D));
  cases.push_back(gaussian(b, batch, D));
  cases.push_back(gaussian_backward(b, batch, L));
  for (const Estimator e : {Estimator::stl, Estimator::score}) cases.push_back(latent_terms_backward(b, e, batch, L));
  cases.push_back(latent_log_prob(b, batch, L));
  for (const bool backward : {false, true}) cases.push_back(merge_gaussians(b, backward, batch, L));
  cases.push_back(mixture_log_prob(b, batch, L, std::min(batch, kComponents)));
  cases.push_back(sample_bernoulli(b, batch, kUnits));
  for (const bool optimal : {false, true}) cases.push_back(bernoulli_backward(b, optimal, batch, kUnits));
  for (const bool one_row : {false, true}) cases.push_back(bernoulli_log_prob(b, one_row, batch, kUnits));
  cases.push_back(importance_weights(b, batch, 5));
  for (const Estimator e : {Estimator::rloo, Estimator::vimco}) cases.push_back(score_weights(b, e, batch, 5));
  for (const Estimator e : {Estimator::measure_valued, Estimator::delta}) {
    cases.push_back(place_probes(b, e, batch, L));
    cases.push_back(probe_backward(b, e, batch, L));
  }
  cases.push_back(moments(b, batch, 2 * L));
  for (const auto& [in, out] : kLayers)
    cases.push_back(linear_backward(b, batch, in, out, in == H ? Activation::relu : Activation::identity, in != D));
  cases.push_back(adam(b, kParameters));
  return cases;
}

std::vector<KernelCase> large_cases(Backend& b, const Randoms& randoms, cudaStream_t stream, Index elements) {
  const Index cols = 1024, rows = elements / cols;
  return {gather(b, randoms, rows, rows, cols),
          sample(b, elements / kWideLatent, kWideLatent),
          gaussian_backward(b, elements / kWideLatent, kWideLatent),
          log_prob(b, Likelihood::bernoulli, rows, cols),
          log_prob(b, Likelihood::continuous_bernoulli, rows, cols),
          log_prob(b, Likelihood::gaussian_scale, rows, cols),
          log_prob(b, Likelihood::beta_binomial, rows, cols),
          gaussian(b, rows, cols),
          latent_log_prob(b, elements / kWideLatent, kWideLatent),
          sample_bernoulli(b, elements / kWideLatent, kWideLatent),
          bernoulli_backward(b, false, elements / 2 / kWideLatent, kWideLatent),
          bernoulli_log_prob(b, false, elements / kWideLatent, kWideLatent),
          bernoulli_log_prob(b, true, elements / kWideLatent, kWideLatent),
          bias_activation(stream, rows, cols),
          relu_backward(stream, rows, cols),
          column_sums(stream, rows, cols),
          moments(b, rows, cols),
          adam(b, rows * cols)};
}

std::vector<KernelCase> product_cases(cuda::Gemm& gemm, Index batch) {
  std::vector<KernelCase> cases;
  for (const auto& [in, out] : kLayers) {
    cases.push_back(product(gemm, "y", cuda::Op::none, cuda::Op::transpose, batch, out, in));
    cases.push_back(product(gemm, "dw", cuda::Op::transpose, cuda::Op::none, out, in, batch));
    if (in != D) cases.push_back(product(gemm, "dx", cuda::Op::none, cuda::Op::none, batch, in, out));
  }
  return cases;
}

}  // namespace cuvae::bench
