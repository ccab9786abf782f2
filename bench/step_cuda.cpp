// The training step on a CUDA device, replayed and eager, and its matrix products alone, measured in turn in one run.
#include "cuda/cuda_backend.h"
#include "cuda_timing.h"
#include "step.h"

namespace cuvae::bench {
namespace {

using cuda::Gemm;
using cuda::Op;
using cuda::Product;

constexpr int kAtOnce = 8;  // steps in a graph, each with its own batch
constexpr std::size_t kWorkspace = std::size_t{32} << 20;

class CudaStep final : public StepBench {
 public:
  CudaStep(int ordinal, Precision precision, const Dataset& data, const StepCase& c)
      : timer_(ordinal),
        backend_(ordinal, precision, timer_.stream()),
        precision_(precision),
        batch_(c.training.batch),
        rows_(data.rows()),
        trainer_(backend_, c.model, c.training, data.rows()),
        pixels_(uploaded(data.data(), static_cast<std::size_t>(data.rows() * data.cols()))),
        x_(floats(batch_ * data.cols())),
        workspace_(backend_.allocate(kWorkspace)),
        gemm_(precision, timer_.stream(), workspace_.data(), workspace_.bytes()) {
    const std::vector<std::uint32_t> order = shuffled(rows_);
    order_ = uploaded(order.data(), order.size() * sizeof(std::uint32_t));
    std::vector<std::uint32_t> steps(kAtOnce);
    for (int i = 0; i < kAtOnce; ++i) steps[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(i);
    steps_ = uploaded(steps.data(), steps.size() * sizeof(std::uint32_t));
    for (const NetworkShape& network : networks_of(c)) add(network);
  }

  nlohmann::json measure(double seconds) override {
    const auto steps = [&] {
      for (int i = 0; i < kAtOnce; ++i) step(i);
    };
    const auto products = [&] {
      for (const Product& p : products_) gemm_.run(p);
    };
    if (products_alone_ == nullptr) {
      for (int i = 0; i < 2; ++i) backend_.replay(recording_, steps);  // runs them, then records them
      launches_ = CudaGraph(timer_.stream(), [&] { step(0); }).launches();
      products();
      products_alone_ = std::make_unique<CudaGraph>(timer_.stream(), [&] {
        for (int i = 0; i < kAtOnce; ++i) products();
      });
    }
    const auto replay = [&] { backend_.replay(recording_, steps); };
    const auto replay_products = [&] { products_alone_->launch(); };
    std::vector<double> replayed, eager, gemm, ratios;
    const double once = timer_.time(replay);
    const int block = std::max(1, static_cast<int>(20.0 / std::max(once, 1e-3)));
    for (const double end = now_ms() + seconds * 1000; now_ms() < end || replayed.size() < 2;) {
      const auto per_step = [&](const std::function<void()>& call) {
        call();  // fills the empty queue, so that the timed calls start with a filled queue
        return timer_.time([&] {
          for (int i = 0; i < block; ++i) call();
        }) / (block * kAtOnce);
      };
      replayed.push_back(per_step(replay));
      eager.push_back(per_step(steps));
      gemm.push_back(per_step(replay_products));
      ratios.push_back(replayed.back() / gemm.back());
    }
    const Metrics m = trainer_.metrics();
    if (m.skipped > 0) throw Error("step: " + std::to_string(m.skipped) + " steps were not finite");
    const double s = median(replayed), g = median(gemm);
    return {{"framework", "cuvae"},
            {"device", backend_.description()},
            {"precision", to_string(precision_)},
            {"mode", "graph"},
            {"batch", batch_},
            {"median_ms", s},
            {"min_ms", *std::min_element(replayed.begin(), replayed.end())},
            {"eager_ms", median(eager)},
            {"gemm_ms", g},
            {"min_gemm_ms", *std::min_element(gemm.begin(), gemm.end())},
            {"step_over_gemm", median(ratios)},
            {"gemm_gflops", flops_ / g * 1e-6},
            {"launches", launches_},
            {"steps_a_graph", kAtOnce},
            {"examples_per_second", static_cast<double>(batch_) / s * 1e3},
            {"loss", m.loss},
            {"steps", replayed.size()}};
  }

 private:
  Buffer uploaded(const void* host, std::size_t bytes) {
    Buffer b = backend_.allocate(bytes);
    backend_.upload(b.data(), host, bytes);
    return b;
  }
  Buffer floats(Index n) { return backend_.allocate(static_cast<std::size_t>(n) * sizeof(float)); }
  void* operand(Index n, DType type) {
    const auto value = [](std::size_t i) { return static_cast<float>(i * 2654435761u % 2001) * 1e-3f - 1.0f; };
    std::vector<float> host(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < host.size(); ++i) host[i] = value(i);
    operands_.push_back(uploaded(host.data(), host.size() * sizeof(float)));
    if (type == DType::bf16) {
      const Buffer floats = std::move(operands_.back());
      operands_.back() = backend_.allocate(host.size() * size_of(type));
      backend_.run(RoundToBf16{floats.view(1, n), operands_.back().view(1, n, type)});
    }
    return operands_.back().data();
  }

  void step(int i) {
    const std::uint32_t* counter = steps_.as<std::uint32_t>() + i;
    const View x = x_.view(batch_, 784, backend_.activation_type());
    backend_.run(GatherBatch{{pixels_.data(), rows_, 784, DType::u8},
                             {order_.as<std::uint32_t>(), rows_, counter},
                             Binarize::stochastic,
                             {0, Stream::binarize, counter},
                             x});
    trainer_.step(x);
  }

  // Every product of one step: y = x w^T, dw = dy^T x, and dx = dy w. Each operand has its own memory, as in a step.
  void add(const NetworkShape& network) {
    const DType type = backend_.activation_type();
    const Index rows = network.rows;
    const void* x = operand(rows * network.widths[0], type);
    void* dx = network.reads_data ? nullptr : operand(rows * network.widths[0], type);
    for (std::size_t i = 0; i + 1 < network.widths.size(); ++i) {
      const Index in = network.widths[i], out = network.widths[i + 1];
      void *w = operand(in * out, type), *dw = operand(in * out, DType::f32), *y = operand(rows * out, type),
           *dy = operand(rows * out, type);
      products_.push_back({Op::none, Op::transpose, rows, out, in, x, w, y, type, type});
      products_.push_back({Op::transpose, Op::none, out, in, rows, dy, x, dw, type, DType::f32});
      if (dx != nullptr) products_.push_back({Op::none, Op::none, rows, in, out, dy, w, dx, type, type});
      x = y, dx = dy;
    }
    flops_ = 0;
    for (const Product& p : products_) flops_ += 2.0 * static_cast<double>(p.m * p.n * p.k);
  }

  CudaTimer timer_;
  cuda::CudaBackend backend_;
  Precision precision_;
  Index batch_, rows_;
  Trainer trainer_;
  Buffer pixels_, x_, order_, steps_, workspace_;
  std::vector<Buffer> operands_;
  Gemm gemm_;
  std::vector<Product> products_;
  Recording recording_;
  std::unique_ptr<CudaGraph> products_alone_;
  std::size_t launches_ = 0;
  double flops_ = 0;
};

}  // namespace

std::unique_ptr<StepBench> cuda_step(const std::string& device, Precision precision, const Dataset& data,
                                     const StepCase& c) {
  return std::make_unique<CudaStep>(cuda_ordinal(device), precision, data, c);
}

}  // namespace cuvae::bench
