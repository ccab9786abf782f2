// cuvae-bench kernels: measures every kernel and product, and the copy bandwidth in the same run. One graph launches an
// operation many times. It takes turns over several sets of arrays (at most kMostSets), so many that they do not stay
// in the caches. Events measure time.
#include "kernels.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench.h"
#include "cuda/cuda_backend.h"
#include "cuda_timing.h"
#include "math/philox.h"

namespace cuvae::bench {

// The number of random values, 4 MiB. Larger arrays repeat them. The number is odd, so that rows differ.
constexpr std::size_t kPool = (std::size_t{1} << 20) - 3;

Randoms::Randoms(Backend& backend, cudaStream_t stream) : backend_(backend), stream_(stream) {
  std::vector<float> floats(kPool);
  const auto word = [](std::size_t i, Kind kind) {
    return math::philox_word(1, static_cast<std::uint32_t>(Stream::data_sample), kind, i);
  };
  for (const Kind kind : {between_ones, bits, bytes}) {
    for (std::size_t i = 0; i < kPool; ++i) {
      const std::uint32_t w = word(i, kind);
      if (kind == between_ones) floats[i] = 2.0f * math::uniform(w) - 1.0f;
      if (kind == bits) floats[i] = static_cast<float>(w >> 31);
      if (kind == bytes) std::memcpy(&floats[i], &w, sizeof w);
    }
    pools_[kind] = backend.allocate(kPool * sizeof(float));
    backend.upload(pools_[kind].data(), floats.data(), kPool * sizeof(float));
    rounded_[kind] = backend.allocate(kPool * size_of(DType::bf16));
    std::vector<std::uint16_t> rounded(kPool);
    for (std::size_t i = 0; i < kPool; ++i)  // truncated instead of rounded, which is just as random
      rounded[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(floats[i]) >> 16);
    backend.upload(rounded_[kind].data(), rounded.data(), rounded_[kind].bytes());
  }
}

Buffer Randoms::make(std::size_t size, DType type, Kind kind) const {
  const Buffer& pool = type == DType::bf16 ? rounded_[kind] : pools_[kind];
  Buffer b = backend_.allocate(size);
  for (std::size_t at = 0; at < size; at += pool.bytes())
    cuda::check(cudaMemcpyAsync(b.as<char>() + at, pool.data(), std::min(size - at, pool.bytes()),
                                cudaMemcpyDeviceToDevice, stream_),
                "copy");
  return b;
}

View Arrays::input(Index rows, Index cols, DType type, Randoms::Kind kind) {
  const auto size = static_cast<std::size_t>(rows * cols) * size_of(type);
  bytes_ += static_cast<double>(size);
  return memory_.emplace_back(randoms_.make(size, type, kind)).view(rows, cols, type);
}
View Arrays::output(Index rows, Index cols, DType type) { return results_.emplace_back(input(rows, cols, type)); }
View Arrays::updated(Index rows, Index cols, DType type, Randoms::Kind kind) {
  const View v = results_.emplace_back(input(rows, cols, type, kind));
  bytes_ += static_cast<double>(v.size()) * static_cast<double>(size_of(type));
  return v;
}

void Arrays::check(const std::string& operation) const {
  for (const View& v : results_) {
    const std::size_t size = static_cast<std::size_t>(v.size()), bytes = size_of(v.dtype);
    std::vector<unsigned char> host(size * bytes);
    backend_.download(host.data(), v.data, host.size());
    for (std::size_t i = 0; i < size; ++i) {
      std::uint32_t bits = 0;  // a bf16 is the upper half of a float
      std::memcpy(reinterpret_cast<char*>(&bits) + 4 - bytes, host.data() + i * bytes, bytes);
      if (!std::isfinite(std::bit_cast<float>(bits)))
        throw Error("kernels: " + operation + " gave a value that is not finite");
    }
  }
}

namespace {

constexpr Index kMostSets = 128;

struct Options {
  std::string device = "cuda";
  Precision precision = Precision::fp32;
  std::vector<Index> batches{128, 8192};
  Index elements = Index{64} << 20;
  double seconds = 0.2;
  bool json = false;
};

class KernelBench {
 public:
  KernelBench(const Options& o)
      : options_(o),
        ordinal_(cuda_ordinal(o.device)),
        timer_(ordinal_),
        backend_(ordinal_, o.precision, timer_.stream()),
        randoms_(backend_, timer_.stream()),
        workspace_(backend_.allocate(std::size_t{32} << 20)),
        gemm_(o.precision, timer_.stream(), workspace_.data(), workspace_.bytes()) {
    int bytes = 0;
    cuda::check(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, ordinal_), "cudaDeviceGetAttribute");
    cache_bytes_ = bytes;
  }

  void run() {
    const nlohmann::json copy = measure_copy();
    copy_rate_ = copy["gb_per_s"].get<double>();
    if (!options_.json) {
      std::printf("%s, products in %s\n", backend_.description().c_str(), to_string(options_.precision).data());
      std::printf("bytes: each array once, twice where updated; %% of the copy's; warm: fits in the cache of %.0f MB\n",
                  cache_bytes_ * 1e-6);
      std::printf("%-36s %-22s %10s %17s %9s %7s %8s %5s\n", "operation", "shape", "us", "(least, most)", "GB/s",
                  "% copy", "TFLOP/s", "cache");
    }
    print(copy);
    for (const Index batch : options_.batches) {
      for (const KernelCase& c : step_cases(backend_, randoms_, batch)) print(measure(c));
      for (const KernelCase& c : product_cases(gemm_, batch)) print(measure(c));
    }
    for (const KernelCase& c : large_cases(backend_, randoms_, timer_.stream(), options_.elements)) print(measure(c));
  }

 private:
  // Takes samples until the time is over. A sample is the time of one `launch`, divided by its `at_once` operations.
  nlohmann::json sample(const std::string& operation, const std::string& shape, double bytes, double flops, bool cold,
                        Index at_once, const std::function<void()>& launch) {
    timer_.time(launch);
    std::vector<double> us;
    for (const double end = now_ms() + options_.seconds * 1000; now_ms() < end || us.size() < 5;)
      us.push_back(timer_.time(launch) * 1e3 / static_cast<double>(at_once));
    const double middle = median(us);
    nlohmann::json r{{"operation", operation},
                     {"shape", shape},
                     {"precision", to_string(options_.precision)},
                     {"device", backend_.description()},
                     {"median_us", middle},
                     {"min_us", *std::min_element(us.begin(), us.end())},
                     {"max_us", *std::max_element(us.begin(), us.end())},
                     {"samples", us.size()},
                     {"launches_a_sample", at_once},
                     {"bytes", bytes},
                     {"gb_per_s", bytes / middle * 1e-3},
                     {"cold", cold}};
    if (flops > 0) r["flops"] = flops, r["tflop_per_s"] = flops / middle * 1e-6;
    if (copy_rate_ > 0) r["share_of_copy"] = bytes / middle * 1e-3 / copy_rate_;
    return r;
  }

  nlohmann::json measure_copy() {
    const auto size = static_cast<std::size_t>(options_.elements) * 4 * sizeof(float);
    const Buffer from = randoms_.make(size, DType::f32, Randoms::between_ones), to = backend_.allocate(size);
    return sample(
        "copy on the device", std::to_string(size >> 20) + " MiB", 2.0 * static_cast<double>(size), 0, true, 1, [&] {
          cuda::check(cudaMemcpyAsync(to.data(), from.data(), size, cudaMemcpyDeviceToDevice, timer_.stream()), "copy");
        });
  }

  nlohmann::json measure(const KernelCase& c) {
    std::vector<std::unique_ptr<Arrays>> sets;
    std::vector<std::function<void()>> runs;
    const auto add = [&] {
      sets.push_back(std::make_unique<Arrays>(backend_, randoms_, static_cast<Index>(sets.size())));
      runs.push_back(c.prepare(*sets.back()));
    };
    add();
    const double bytes = sets[0]->bytes();
    const auto enough = static_cast<Index>(std::ceil(3 * cache_bytes_ / bytes));
    while (static_cast<Index>(sets.size()) < std::min(enough, kMostSets)) add();
    const auto count = static_cast<Index>(sets.size());

    const auto all = [&] {
      for (const auto& run : runs) run();
    };
    all();
    // So many rounds that a launch of the graph takes about 1 ms or more, much longer than its start.
    const double ms = std::max(timer_.time(all), 1e-3);
    const Index rounds = std::max<Index>(1, static_cast<Index>(1.0 / ms));
    const CudaGraph graph(timer_.stream(), [&] {
      for (Index i = 0; i < rounds; ++i) all();
    });
    nlohmann::json r =
        sample(c.operation, c.shape, bytes, c.flops, bytes * static_cast<double>(count) > 2 * cache_bytes_,
               rounds * count, [&] { graph.launch(); });
    sets[0]->check(c.operation);
    return r;
  }

  void print(const nlohmann::json& r) const {
    if (options_.json) {
      std::cout << r.dump() << std::endl;
      return;
    }
    const auto number = [&](const char* key) { return r[key].get<double>(); };
    char spread[32], share[16] = "", tflops[16] = "";
    std::snprintf(spread, sizeof spread, "(%.2f, %.2f)", number("min_us"), number("max_us"));
    if (r.contains("share_of_copy")) std::snprintf(share, sizeof share, "%.0f", 100 * number("share_of_copy"));
    if (r.contains("tflop_per_s")) std::snprintf(tflops, sizeof tflops, "%.2f", number("tflop_per_s"));
    std::printf("%-36s %-22s %10.2f %17s %9.1f %7s %8s %5s\n", r["operation"].get<std::string>().c_str(),
                r["shape"].get<std::string>().c_str(), number("median_us"), spread, number("gb_per_s"), share, tflops,
                r["cold"].get<bool>() ? "cold" : "warm");
    std::fflush(stdout);
  }

  Options options_;
  int ordinal_;
  CudaTimer timer_;
  cuda::CudaBackend backend_;
  Randoms randoms_;
  Buffer workspace_;
  cuda::Gemm gemm_;
  double cache_bytes_ = 0, copy_rate_ = 0;
};

}  // namespace

void add_kernels(CLI::App& app) {
  auto* c =
      app.add_subcommand("kernels", "Time every kernel and product on a CUDA device, compared with its copy bandwidth");
  auto o = std::make_shared<Options>();
  c->add_option("--device", o->device, "cuda or cuda:N")->capture_default_str();
  add_precision(*c, o->precision);
  cli::add_numbers(*c, "--batch", o->batches, "Batch sizes", {1, 59999});
  cli::add_number(*c, "--elements", o->elements, "Elements of the large arrays, rows of 1024, latents of 64",
                  {1024, 4294967296.0});
  cli::add_number(*c, "--seconds", o->seconds, "Time for each operation", kSeconds);
  c->add_flag("--json", o->json, "Print one JSON object per line");
  c->callback([o] { KernelBench(*o).run(); });
}

}  // namespace cuvae::bench
