// Ten training steps on the bundled digits against the same steps in PyTorch's float64, frozen in trajectory/.
#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/safetensors.h"
#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;
using nlohmann::json;
using reference::Vector;

// The environment variable is for tests on another machine than the one that built them.
const std::filesystem::path kSource =
    std::getenv("CUVAE_SOURCE_DIR") != nullptr ? std::getenv("CUVAE_SOURCE_DIR") : CUVAE_SOURCE_DIR;

const json& frozen() {
  static const json file = json::parse(std::ifstream(kSource / "tests" / "trajectory" / "frozen.json"));
  return file;
}

template <class Enum>
Enum choice(const json& settings, const char* key) {
  std::string name = settings.at(key);
  std::replace(name.begin(), name.end(), '_', '-');
  return parse<Enum>(name);
}

VaeConfig model_of(const json& s) {
  VaeConfig m;
  s.at("data_dim").get_to(m.data_dim);
  s.at("latent").get_to(m.latent);
  s.at("encoder_hidden").get_to(m.encoder_hidden);
  s.at("decoder_hidden").get_to(m.decoder_hidden);
  s.at("scale").get_to(m.scale);
  m.activation = choice<Activation>(s, "activation");
  m.likelihood = choice<Likelihood>(s, "likelihood");
  m.initialization = choice<Initialization>(s, "initialization");
  if (s.contains("above"))
    for (const json& layer : s.at("above"))
      m.above.push_back({layer.at("latent"), layer.at("encoder_hidden"), layer.at("decoder_hidden")});
  return m;
}

TrainConfig training_of(const json& s) {
  TrainConfig t;
  s.at("seed").get_to(t.seed);
  s.at("batch").get_to(t.batch);
  s.at("samples").get_to(t.samples);
  s.at("epochs").get_to(t.epochs);
  s.at("beta").get_to(t.beta);
  s.at("kl_warmup_epochs").get_to(t.kl_warmup_epochs);
  s.at("free_bits").get_to(t.free_bits);
  s.at("rate").get_to(t.schedule.rate);
  s.at("final_rate").get_to(t.schedule.final_rate);
  s.at("warmup_epochs").get_to(t.schedule.warmup_epochs);
  s.at("beta1").get_to(t.beta1);
  s.at("beta2").get_to(t.beta2);
  s.at("epsilon").get_to(t.epsilon);
  s.at("weight_decay").get_to(t.weight_decay);
  s.at("clip_norm").get_to(t.clip_norm);
  s.at("ema_decay").get_to(t.ema_decay);
  t.binarize = choice<Binarize>(s, "binarize");
  t.optimizer = choice<Optimizer>(s, "optimizer");
  t.schedule.kind = choice<LearningRate::Kind>(s, "schedule");
  if (s.contains("estimator")) t.estimator = choice<Estimator>(s, "estimator");
  t.log_every = 1;
  return t;
}

Dataset first_digits() {
  const Dataset all = Dataset::open(kSource / "data" / "mnist-10k", Split::train);
  const auto* bytes = static_cast<const std::uint8_t*>(all.data());
  const Index rows = frozen().at("rows");
  return Dataset::from_memory(std::vector<std::uint8_t>(bytes, bytes + rows * all.cols()), rows, all.cols());
}

double norm(const Vector& v) { return std::sqrt(dot(v, v)); }

class Trajectory : public OpTest {
 protected:
  /// Ten steps of fit(), each compared with the frozen one.
  void expect_as_frozen(const json& want) {
    const Dataset data = first_digits();
    Trainer trainer(backend_, model_of(want.at("settings")), training_of(want.at("settings")), data);
    save(trainer, 0);
    const std::size_t steps = frozen().at("steps");
    std::atomic<bool> stop{false};
    Metrics before;
    FitOptions options;
    options.stop = &stop;
    options.on_progress = [&](const Progress& p) {
      if (p.train.steps == 1) before = {};
      const auto n = static_cast<double>(p.train.steps);
      const auto expect_curve = [&](const char* name, double Metrics::*mean, double rtol) {
        const double got = n * (p.train.*mean) - (n - 1) * (before.*mean), value = want.at(name).at(p.step - 1);
        EXPECT_NEAR(got, value, rtol * std::fabs(value)) << name << " of step " << p.step;
      };
      // Sums over 784 pixels in float32, and the steps before.
      expect_curve("loss", &Metrics::loss, 1e-6);
      expect_curve("reconstruction", &Metrics::reconstruction, 1e-6);
      expect_curve("kl", &Metrics::kl, 2e-6);
      expect_curve("gradient_norm", &Metrics::gradient_norm, 2e-6);
      before = p.train;
      if (p.step == 1 || p.step == steps) expect_parameters(want, trainer, p.step);
      stop = p.step == steps;
    };
    EXPECT_EQ(trainer.fit(data, options), Outcome::interrupted);
  }

 private:
  std::filesystem::path save(Trainer& trainer, std::uint64_t step) {
    const std::filesystem::path path = folder_ / std::to_string(step);
    trainer.save(path);
    return path;
  }

  static Vector values(const SafetensorsFile& file, const std::string& name) {
    const Tensor* tensor = file.find(name);
    if (tensor == nullptr) throw Error("there is no " + name);
    const auto* data = static_cast<const float*>(tensor->data);
    return {data, data + tensor->bytes / sizeof(float)};
  }

  void expect_parameters(const json& want, Trainer& trainer, std::uint64_t step) {
    const SafetensorsFile start = SafetensorsFile::open(folder_ / "0"),
                          now = SafetensorsFile::open(save(trainer, step));
    for (const json& parameter : want.at("parameters"))
      for (const std::string prefix : {"", "ema."}) {
        const std::string name = parameter.at("name"), snapshot = prefix.empty() ? "after_" : "ema_after_";
        if (!parameter.contains(snapshot + std::to_string(step))) continue;
        SCOPED_TRACE(prefix + name + " after step " + std::to_string(step));
        expect_parameter(parameter, parameter.at(snapshot + std::to_string(step)), values(now, prefix + name),
                         values(start, name), step);
      }
  }

  // Adam divides a gradient by its own size, so one that is rounding alone moves its parameter like any other:
  // differences are measured against how far the parameters moved, in the root mean square. Each step also
  // rounds a parameter by at most 2^-24 of itself.
  static void expect_parameter(const json& parameter, const json& want, const Vector& got, const Vector& start,
                               std::uint64_t steps) {
    Vector change = got, picked, bound;
    double sum = 0;
    for (std::size_t i = 0; i < got.size(); ++i) change[i] -= start[i], sum += got[i];
    const double moved = want.at("moved"), size = static_cast<double>(got.size()), rms = moved / std::sqrt(size);
    EXPECT_NEAR(norm(change), moved, 1e-4 * moved);
    EXPECT_NEAR(norm(got), want.at("norm"), 1e-4 * moved);
    EXPECT_NEAR(sum, want.at("sum"), 1e-4 * rms * size);
    for (const std::size_t at : parameter.at("positions")) {
      picked.push_back(got[at]);
      bound.push_back(3e-4 * rms + 0x1p-24 * std::sqrt(static_cast<double>(steps)) * std::fabs(got[at]));
    }
    expect_within(picked, want.at("values").get<Vector>(), bound, "values");
  }

  const TempDir folder_;
};
CUVAE_ON_EVERY_BACKEND(Trajectory);

TEST_P(Trajectory, FollowsPyTorch) {
  Index sum = 0;
  const Dataset data = first_digits();
  for (Index i = 0; i < data.rows() * data.cols(); ++i) sum += static_cast<const std::uint8_t*>(data.data())[i];
  ASSERT_EQ(sum, frozen().at("pixel_sum"));
  for (const auto& [name, want] : frozen().at("configurations").items()) {
    SCOPED_TRACE(name);
    expect_as_frozen(want);
  }
}

}  // namespace
}  // namespace cuvae
