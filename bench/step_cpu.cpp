// The training step on the CPU and its matrix products alone, measured in turn in one run.
#include <numeric>

#include "cpu/cores.h"
#include "cpu/denormals.h"
#include "cpu/gemm.h"
#include "step.h"

namespace cuvae::bench {
namespace {

using cpu::Op;

// The operands of one linear layer. Each has its own memory, as in a training step.
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
  mlp(model.latent, model.decoder_hidden, model.outputs());
  return layers;
}

class CpuStep final : public StepBench {
 public:
  CpuStep(Backend& backend, const Dataset& data, int threads, Index batch)
      : backend_(backend),
        data_(data),
        team_(threads > 0 ? threads : cpu::default_threads()),
        model_(standard_model()),
        batch_(batch),
        trainer_(backend, model_, step_training(batch), data.rows()) {
    x_ = backend.allocate(static_cast<std::size_t>(batch * 784) * sizeof(float));
    const std::vector<std::uint32_t> order = shuffled(data.rows());
    order_ = backend.allocate(order.size() * sizeof(std::uint32_t));
    backend.upload(order_.data(), order.data(), order_.bytes());
    step_ = backend.allocate(sizeof(std::uint32_t));
    layers_ = layers_of(model_, batch);
    for (const Layer& l : layers_)
      flops_ += (&l == &layers_[0] ? 4.0 : 6.0) * static_cast<double>(batch * l.in * l.out);
    z_.assign(static_cast<std::size_t>(batch * model_.latent), 0.1f);
    dz_ = z_;
  }

  /// Runs blocks of steps and blocks of products in turn, for about `seconds`. A block is long enough that its data are
  /// in the cache.
  nlohmann::json measure(double seconds) override {
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
  void step() {
    const View x = x_.view(batch_, 784);
    backend_.run(GatherBatch{{data_.data(), data_.rows(), 784, DType::u8},
                             {order_.as<std::uint32_t>(), data_.rows(), step_.as<std::uint32_t>()},
                             Binarize::stochastic,
                             {0, Stream::binarize, step_.as<std::uint32_t>()},
                             x});
    trainer_.step(x);
    ++*step_.as<std::uint32_t>();
  }
  // Every product of one step: y = x w^T, dw = dy^T x, and dx = dy w. The encoder's first layer has no dx.
  void gemms() {
    const cpu::FlushDenormals flush;
    const std::size_t decoder = layers_.size() / 2;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      Layer& l = layers_[i];
      cpu::gemm(team_, Op::none, Op::transpose, batch_, l.out, l.in, input(i, decoder), l.w.data(), l.y.data());
    }
    for (std::size_t i = layers_.size(); i-- > 0;) {
      Layer& l = layers_[i];
      cpu::gemm(team_, Op::transpose, Op::none, l.out, l.in, batch_, l.dy.data(), input(i, decoder), l.dw.data());
      if (i == 0) continue;
      float* dx = i == decoder ? dz_.data() : layers_[i - 1].dy.data();
      cpu::gemm(team_, Op::none, Op::none, batch_, l.in, l.out, l.dy.data(), l.w.data(), dx);
    }
  }
  const float* input(std::size_t i, std::size_t decoder) const {
    return i == 0 ? x_.as<float>() : i == decoder ? z_.data() : layers_[i - 1].y.data();
  }

  Backend& backend_;
  const Dataset& data_;
  cpu::Team team_;
  VaeConfig model_;
  Index batch_;
  Trainer trainer_;
  Buffer x_, order_, step_;
  std::vector<Layer> layers_;
  std::vector<float> z_, dz_;
  double flops_ = 0;
};

}  // namespace

std::unique_ptr<StepBench> cpu_step(Backend& backend, const Dataset& data, int threads, Index batch) {
  return std::make_unique<CpuStep>(backend, data, threads, batch);
}

}  // namespace cuvae::bench
