// The training step beside its own matrix products, measured in turn in one run.
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "bench.h"
#include "cpu/gemm.h"
#include "cpu/parallel.h"

namespace cuvae::bench {
namespace {

using cpu::Op;

// One linear layer's operands, each in memory of its own, as a step has them.
struct Layer {
  Index in, out;
  std::vector<float> w, dw, y, dy;
};

std::vector<Layer> layers_of(const VaeConfig& model, Index batch) {
  std::vector<Layer> layers;
  const auto mlp = [&](Index in, std::vector<Index> widths, Index out) {
    widths.push_back(out);
    for (Index width : widths) {
      const auto weights = static_cast<std::size_t>(in * width), rows = static_cast<std::size_t>(batch * width);
      layers.push_back({in, width, std::vector<float>(weights, 0.01f), std::vector<float>(weights),
                        std::vector<float>(rows, 0.1f), std::vector<float>(rows, 0.1f)});
      in = width;
    }
  };
  mlp(model.data_dim, model.encoder_hidden, 2 * model.latent);
  mlp(model.latent, model.decoder_hidden, model.data_dim);
  return layers;
}

class StepBench {
 public:
  StepBench(Backend& backend, const Dataset& data, int threads, Index batch)
      : backend_(backend),
        data_(data),
        threads_(threads),
        model_(standard_model()),
        batch_(batch),
        trainer_(backend, model_, config(batch), data.rows()) {
    x_ = backend.allocate(static_cast<std::size_t>(batch * 784) * sizeof(float));
    std::vector<std::uint32_t> order(static_cast<std::size_t>(data.rows()));
    std::iota(order.begin(), order.end(), 0u);
    for (std::size_t i = 0; i < order.size(); ++i) std::swap(order[i], order[i * 2654435761u % order.size()]);
    order_ = backend.allocate(order.size() * sizeof(std::uint32_t));
    backend.upload(order_.data(), order.data(), order_.bytes());
    step_ = backend.allocate(sizeof(std::uint32_t));
    layers_ = layers_of(model_, batch);
    for (const Layer& l : layers_)
      flops_ += (&l == &layers_[0] ? 4.0 : 6.0) * static_cast<double>(batch * l.in * l.out);
    z_.assign(static_cast<std::size_t>(batch * model_.latent), 0.1f);
    dz_ = z_;
  }

  /// Blocks of steps and of products in turn, for about `seconds`; a block is long enough to find its own data in
  /// cache.
  nlohmann::json measure(double seconds) {
    step();
    double mark = now_ms();
    step();
    const int block = std::max(1, static_cast<int>(20.0 / (now_ms() - mark)));
    std::vector<double> steps, gemm, ratios;
    for (const double end = now_ms() + seconds * 1000; now_ms() < end || steps.size() < 3;) {
      const auto per_call = [&](auto call) {
        call();  // brings its data back into the caches
        mark = now_ms();
        for (int i = 0; i < block; ++i) call();
        return (now_ms() - mark) / block;
      };
      steps.push_back(per_call([&] { step(); }));
      gemm.push_back(per_call([&] { gemms(); }));
      ratios.push_back(steps.back() / gemm.back());
    }
    const double s = median(steps), g = median(gemm);
    return {{"framework", "cuvae"},
            {"batch", batch_},
            {"median_ms", s},
            {"min_ms", *std::min_element(steps.begin(), steps.end())},
            {"gemm_ms", g},
            {"min_gemm_ms", *std::min_element(gemm.begin(), gemm.end())},
            {"step_over_gemm", median(ratios)},
            {"gemm_gflops", flops_ / g * 1e-6},
            {"steps", steps.size()}};
  }

 private:
  static TrainConfig config(Index batch) {
    TrainConfig c;
    c.batch = batch;
    c.binarize = Binarize::none;  // gather_batch below binarizes, as fit() has it
    return c;
  }
  void step() {
    const View x = x_.view(batch_, 784);
    backend_.gather_batch({data_.data(), data_.rows(), 784, DType::u8},
                          {order_.as<std::uint32_t>(), data_.rows(), step_.as<std::uint32_t>()}, Binarize::stochastic,
                          {0, Stream::binarize, step_.as<std::uint32_t>()}, x);
    trainer_.step(x);
    ++*step_.as<std::uint32_t>();
  }
  // Every product of one step: y = x w^T, dw = dy^T x, and dx = dy w but for the data's own gradient.
  void gemms() {
    const cpu::FlushDenormals flush;
    const std::size_t decoder = layers_.size() / 2;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      Layer& l = layers_[i];
      cpu::gemm(threads_, Op::none, Op::transpose, batch_, l.out, l.in, input(i, decoder), l.w.data(), l.y.data());
    }
    for (std::size_t i = layers_.size(); i-- > 0;) {
      Layer& l = layers_[i];
      cpu::gemm(threads_, Op::transpose, Op::none, l.out, l.in, batch_, l.dy.data(), input(i, decoder), l.dw.data());
      if (i == 0) continue;
      float* dx = i == decoder ? dz_.data() : layers_[i - 1].dy.data();
      cpu::gemm(threads_, Op::none, Op::none, batch_, l.in, l.out, l.dy.data(), l.w.data(), dx);
    }
  }
  const float* input(std::size_t i, std::size_t decoder) const {
    return i == 0 ? x_.as<float>() : i == decoder ? z_.data() : layers_[i - 1].y.data();
  }

  Backend& backend_;
  const Dataset& data_;
  int threads_;
  VaeConfig model_;
  Index batch_;
  Trainer trainer_;
  Buffer x_, order_, step_;
  std::vector<Layer> layers_;
  std::vector<float> z_, dz_;
  double flops_ = 0;
};

struct Options {
  std::vector<Index> batches{128, 512, 2048, 8192};
  double seconds = 3;
  int threads = 2;
  bool serve = false, json = false;
};

void run(const Options& o) {
  const auto backend = make_backend("cpu", o.threads);
  const Dataset data = digits_like(60000);
  if (o.serve) {  // one request a line, "batch seconds": a driver can take turns between programs
    std::vector<std::pair<Index, std::unique_ptr<StepBench>>> benches;
    for (Index batch; std::cin >> batch;) {
      double seconds = 0;
      if (!(std::cin >> seconds) || batch < 1 || batch > 60000)
        throw Error("serve: a request is 'batch seconds', batch 1 to 60000");
      auto it = std::find_if(benches.begin(), benches.end(), [&](const auto& b) { return b.first == batch; });
      if (it == benches.end())
        it = benches.insert(it, {batch, std::make_unique<StepBench>(*backend, data, o.threads, batch)});
      std::cout << it->second->measure(seconds).dump() << std::endl;
    }
    return;
  }
  if (!o.json) {
    std::printf("%s; 784-400-20-400-784, Adam, dynamic binarization\n", backend->description().c_str());
    std::printf("%8s %12s %16s %12s %12s\n", "batch", "step ms", "products ms", "step/prod.", "GFLOP/s");
  }
  for (Index batch : o.batches) {
    const nlohmann::json r = StepBench(*backend, data, o.threads, batch).measure(o.seconds);
    if (o.json) {
      std::cout << r.dump() << std::endl;
    } else {
      std::printf("%8d %12.3f %16.3f %12.3f %12.1f\n", static_cast<int>(batch), r["median_ms"].get<double>(),
                  r["gemm_ms"].get<double>(), r["step_over_gemm"].get<double>(), r["gemm_gflops"].get<double>());
      std::fflush(stdout);
    }
  }
}

}  // namespace

void add_step(CLI::App& app) {
  auto* c = app.add_subcommand("step", "Times the training step beside its own matrix products, in turn");
  auto o = std::make_shared<Options>();
  c->add_option("--batch", o->batches, "Batch sizes")->check(CLI::Range(1, 60000))->capture_default_str();
  c->add_option("--seconds", o->seconds, "Time for each batch size")->check(CLI::PositiveNumber)->capture_default_str();
  c->add_option("--threads", o->threads, "CPU threads")->check(CLI::Range(1, 1024))->capture_default_str();
  c->add_flag("--json", o->json, "One JSON object a line");
  c->add_flag("--serve", o->serve, "Answer requests 'batch seconds' on standard input");
  c->callback([o] { run(*o); });
}

}  // namespace cuvae::bench
