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
  Index rows, in, out;
  const float* x;
  float* dx;  // null: none
  std::vector<float> w, dw, y, dy;
  Layer(Index of_rows, Index from, Index to, const float* input, float* dinput)
      : rows(of_rows), in(from), out(to), x(input), dx(dinput) {
    const auto weights = static_cast<std::size_t>(in * out), values = static_cast<std::size_t>(rows * out);
    w.assign(weights, 0.01f), dw.assign(weights, 0.0f), y.assign(values, 0.1f), dy.assign(values, 0.1f);
  }
};

class CpuStep final : public StepBench {
 public:
  CpuStep(Backend& backend, const Dataset& data, int threads, const StepCase& c)
      : backend_(backend),
        data_(data),
        team_(threads > 0 ? threads : cpu::default_threads()),
        batch_(c.training.batch),
        trainer_(backend, c.model, c.training, data.rows()) {
    x_ = backend.allocate(static_cast<std::size_t>(batch_ * 784) * sizeof(float));
    const std::vector<std::uint32_t> order = shuffled(data.rows());
    order_ = backend.allocate(order.size() * sizeof(std::uint32_t));
    backend.upload(order_.data(), order.data(), order_.bytes());
    step_ = backend.allocate(sizeof(std::uint32_t));
    for (const NetworkShape& network : networks_of(c)) add(network);
    for (const Layer& l : layers_) flops_ += (l.dx == nullptr ? 4.0 : 6.0) * static_cast<double>(l.rows * l.in * l.out);
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
  void add(const NetworkShape& network) {
    const float* x = x_.as<float>();
    float* dx = nullptr;
    if (!network.reads_data)
      for (int i = 0; i < 2; ++i)
        inputs_.emplace_back(static_cast<std::size_t>(network.rows * network.widths[0]), 0.1f);
    if (!network.reads_data) x = inputs_[inputs_.size() - 2].data(), dx = inputs_.back().data();
    for (std::size_t i = 0; i + 1 < network.widths.size(); ++i) {
      layers_.emplace_back(network.rows, network.widths[i], network.widths[i + 1], x, dx);
      x = layers_.back().y.data(), dx = layers_.back().dy.data();
    }
  }
  // Every product of one step: y = x w^T, dw = dy^T x, and dx = dy w.
  void gemms() {
    const cpu::FlushDenormals flush;
    for (Layer& l : layers_)
      cpu::gemm(team_, Op::none, Op::transpose, l.rows, l.out, l.in, l.x, l.w.data(), l.y.data());
    for (auto l = layers_.rbegin(); l != layers_.rend(); ++l) {
      cpu::gemm(team_, Op::transpose, Op::none, l->out, l->in, l->rows, l->dy.data(), l->x, l->dw.data());
      if (l->dx != nullptr)
        cpu::gemm(team_, Op::none, Op::none, l->rows, l->in, l->out, l->dy.data(), l->w.data(), l->dx);
    }
  }

  Backend& backend_;
  const Dataset& data_;
  cpu::Team team_;
  Index batch_;
  Trainer trainer_;
  Buffer x_, order_, step_;
  std::vector<Layer> layers_;
  std::vector<std::vector<float>> inputs_;  // z and dz of each network
  double flops_ = 0;
};

}  // namespace

std::unique_ptr<StepBench> cpu_step(Backend& backend, const Dataset& data, int threads, const StepCase& c) {
  return std::make_unique<CpuStep>(backend, data, threads, c);
}

}  // namespace cuvae::bench
