// Checkpoints: everything that is saved is restored.
#include "cuvae/checkpoint.h"

#include "checkpoint_test.h"
#include "train/config_json.h"

namespace cuvae {
namespace {
using namespace test;
using nlohmann::json;

class Checkpoint : public CheckpointTest {};
CUVAE_ON_EVERY_BACKEND(Checkpoint);

// No setting has its default value, so that the test finds a forgotten one.
TEST_P(Checkpoint, KeepsEverySetting) {
  VaeConfig model{12, 3, {4, 5}, {6}, Activation::gelu, Likelihood::gaussian_learned, 0.3f, Initialization::he, 2, 2};
  model.image_channels = 3, model.image_channels_first = true;
  model.image_black = -1, model.image_white = 2;
  TrainConfig t;
  t.seed = 0xfedcba9876543210;
  t.batch = 7, t.samples = 4, t.epochs = 11;
  t.antithetic = true;
  t.binarize = Binarize::none;
  t.standardize = true;
  t.pixel_scale = 2;
  t.beta = 0.1f, t.kl_warmup_epochs = 1.0 / 3, t.free_bits = 0.2f;
  t.optimizer = Optimizer::adamw;
  t.schedule = {LearningRate::Kind::pieces, 0.1, 0.01, 0.7, 0.3, 2.5, {{1, 0.1}, {1.0 / 3, 1e-7}}, 4.5};
  t.beta1 = 0.8f, t.beta2 = 0.97f, t.epsilon = 1e-7f;
  t.weight_decay = 0.03f, t.clip_norm = 1.1f, t.clip_value = 0.4f, t.ema_decay = 0.7f;
  t.output_bias_from_data = true;
  t.validation = 0.15;
  t.patience = 4, t.log_every = 13, t.checkpoint_every = 2, t.max_skipped = 5;
  const json kept = to_json(t), defaults = to_json(TrainConfig{});
  for (const auto& [key, value] : defaults.items())  // other estimators allow fewer settings: see KeepsTheEstimator
    if (key != "estimator" && key != "cost") {
      EXPECT_NE(kept.at(key), value) << key;
    }
  const json kept_model = to_json(model), default_model = to_json(VaeConfig{});
  for (const auto& [key, value] : default_model.items()) EXPECT_NE(kept_model.at(key), value) << key;

  Trainer trainer(backend_, model, t, 100);
  trainer.save(path_);
  const CheckpointInfo info = read_checkpoint_info(path_);
  EXPECT_EQ(info.model, model);
  EXPECT_EQ(to_json(info.training), kept);
  EXPECT_EQ(info.examples, 100);
  EXPECT_EQ(info.data_crc32, 0u);
  EXPECT_EQ(info.parameters, trainer.vae().layout().count());
  EXPECT_TRUE(info.averaged);
  EXPECT_TRUE(std::isnan(info.best_elbo));
  Trainer resumed = Trainer::resume(backend_, path_);
  EXPECT_EQ(resumed.vae().config(), model);
  EXPECT_EQ(to_json(resumed.config()), kept);
  EXPECT_EQ(resumed.steps_per_epoch(), 14);
}

// Earlier versions accepted any initial learned scale and moved it to its clamp.
TEST_P(Checkpoint, OneWhoseLearnedScaleStartedOutsideOfItsClampLoads) {
  VaeConfig model = small_model();
  model.likelihood = Likelihood::gaussian_learned;
  for (const auto& [asked, held] : {std::pair{5000.0f, std::exp(kLogScaleMax)}, {1e-4f, std::exp(kLogScaleMin)}}) {
    json old = to_json(model);
    old["scale"] = asked;
    EXPECT_EQ(vae_config_from_json(old).scale, held);
  }
  model.likelihood = Likelihood::gaussian;
  model.scale = 5000;
  EXPECT_EQ(vae_config_from_json(to_json(model)).scale, 5000);
}

// The weights of one output are a matrix. Older files in which they are a vector still load.
TEST_P(Checkpoint, WeightsAreMatricesAndBiasesVectors) {
  VaeConfig model = small_model();
  model.encoder_hidden = {1};
  model.decoder_hidden = {6, 1};
  model.likelihood = Likelihood::gaussian_learned;
  TrainConfig config = thorough_training();
  config.binarize = Binarize::none;
  Trainer trainer(backend_, model, config, 33);
  trainer.step(Matrix(backend_, 5, 12, random_vector(60, 1, 0, 1)));
  trainer.save(path_);
  const SafetensorsFile file = SafetensorsFile::open(path_);
  Tensors old = file.tensors();
  for (Tensor& t : old)
    if (t.name.ends_with(".weight")) {
      EXPECT_EQ(t.shape.size(), 2u) << t.name;
      if (t.shape.front() == 1) t.shape.erase(t.shape.begin());
    } else if (t.name.ends_with(".bias") || t.name.ends_with("log_scale")) {
      EXPECT_EQ(t.shape.size(), 1u) << t.name;
    }
  EXPECT_EQ(file.find("encoder.0.weight")->shape, (std::vector<std::int64_t>{1, 12}));
  EXPECT_EQ(file.find("optimizer.m.decoder.1.weight")->shape, (std::vector<std::int64_t>{1, 6}));
  EXPECT_EQ(file.find("log_scale")->shape, (std::vector<std::int64_t>{1}));

  const auto path = folder_ / "old.safetensors";
  write_safetensors(path, file.metadata(), old);
  EXPECT_EQ(read_checkpoint_info(path).model, model);
  expect_same_bits(parameters(load_vae(backend_, path)), parameters(load_vae(backend_, path_)), "params");
  Trainer resumed = Trainer::resume(backend_, path);
  resumed.save(path);
  EXPECT_EQ(file_bytes(path), file_bytes(path_));
}

TEST_P(Checkpoint, KeepsTheEstimator) {
  TrainConfig t = small_training();
  t.samples = 2;
  t.estimator = Estimator::rloo;
  t.cost = Cost::joint;
  save_example(t);
  const TrainConfig resumed = Trainer::resume(backend_, path_).config();
  EXPECT_EQ(resumed.estimator, Estimator::rloo);
  EXPECT_EQ(resumed.cost, Cost::joint);
  EXPECT_EQ(SafetensorsFile::open(path_).find("running_mean"), nullptr);
  t.estimator = Estimator::score_mean;
  save_example(t);
  EXPECT_NO_THROW(SafetensorsFile::open(path_).require("running_mean", "F64", {2}));
  EXPECT_EQ(SafetensorsFile::open(path_).find("baseline.state"), nullptr);
}

TEST_P(Checkpoint, KeepsTheBaselineThatLearns) {
  TrainConfig t = small_training();
  t.estimator = Estimator::nvil;
  save_example(t);
  const SafetensorsFile file = SafetensorsFile::open(path_);
  for (const std::string prefix : {"", "optimizer.m.", "optimizer.v."})
    for (const auto& [name, shape] : std::map<std::string, std::vector<Index>>{{"network.0.weight", {100, 12}},
                                                                               {"network.0.bias", {100}},
                                                                               {"network.1.weight", {1, 100}},
                                                                               {"network.1.bias", {1}}})
      EXPECT_NO_THROW(file.require("baseline." + prefix + name, "F32", shape));
  EXPECT_NO_THROW(file.require("baseline.state", "U32", {4}));
  EXPECT_NO_THROW(file.require("baseline.running", "F64", {4}));
  EXPECT_EQ(file.find("running_mean"), nullptr);
  EXPECT_NO_THROW(load_vae(backend_, path_));
}

TEST_P(Checkpoint, SaysWhereARunStands) {
  TrainConfig config = thorough_training();
  const Dataset data = small_data();
  Trainer trainer(backend_, small_model(), config, data);
  double best = -INFINITY;
  trainer.fit(data, {folder_.path(),
                     [&](const Progress& p) {
                       if (p.validation) best = std::max(best, p.validation->elbo);
                     },
                     nullptr});
  const CheckpointInfo info = read_checkpoint_info(folder_ / "last.safetensors");
  EXPECT_EQ(info.best_elbo, best);
  EXPECT_EQ(info.data_crc32, data.crc32());
  EXPECT_EQ(info.examples, 33);
  EXPECT_EQ(info.state.step, 18u);
  EXPECT_EQ(info.state.updates, 18u);
  EXPECT_EQ(info.state.skipped, 0u);
}

// Older versions followed the ELBO in a run that trains a bound: neither the value nor the epochs since are of the
// bound.
TEST_P(Checkpoint, BestElboOfAnOlderVersionIsNotComparedWithABound) {
  TrainConfig config = small_training();
  config.estimator = Estimator::iwae;
  config.samples = 2;
  config.validation = 0.25;
  config.patience = 1;
  config.epochs = 1;
  const Dataset data = small_data();
  Trainer trainer(backend_, small_model(), config, data);
  trainer.fit(data, {folder_.path(), {}, nullptr});
  const std::filesystem::path last = folder_ / "last.safetensors";
  {
    const SafetensorsFile file = SafetensorsFile::open(last);
    Metadata metadata = file.metadata();
    auto progress = nlohmann::json::parse(metadata.at("progress"));
    progress.erase("best_bound");
    progress["best_elbo"] = 0.0;  // above any bound of these models
    progress["epochs_without_gain"] = 1;
    metadata["progress"] = progress.dump();
    metadata.erase("crc32");
    write_safetensors(path_, metadata, file.tensors());
  }
  EXPECT_EQ(read_checkpoint_info(path_).best_elbo, 0);
  EXPECT_TRUE(std::isnan(read_checkpoint_info(path_).best_bound));
  Trainer resumed = Trainer::resume(backend_, path_);
  configure(resumed, [](TrainConfig& c) { c.epochs = 2; });
  int epochs = 0;
  resumed.fit(data, {folder_.path(),
                     [&](const Progress& p) {
                       if (!p.epoch_end) return;
                       ++epochs;
                       EXPECT_TRUE(p.best);
                     },
                     nullptr});
  EXPECT_EQ(epochs, 1);
  const CheckpointInfo info = read_checkpoint_info(last);
  EXPECT_TRUE(std::isfinite(info.best_bound));
  EXPECT_TRUE(std::isnan(info.best_elbo));
}

TEST_P(Checkpoint, HasTheDocumentedTensors) {
  Trainer trainer = save_example();
  const SafetensorsFile file = SafetensorsFile::open(path_);
  EXPECT_EQ(file.metadata().at("format"), "cuvae 1");
  std::size_t count = 0;
  for (const std::string prefix : {"", "optimizer.m.", "optimizer.v.", "ema."}) {
    for (const auto& [name, shape] : std::map<std::string, std::vector<Index>>{{"encoder.0.weight", {8, 12}},
                                                                               {"encoder.0.bias", {8}},
                                                                               {"encoder.1.weight", {4, 8}},
                                                                               {"encoder.1.bias", {4}},
                                                                               {"decoder.0.weight", {6, 2}},
                                                                               {"decoder.0.bias", {6}},
                                                                               {"decoder.1.weight", {12, 6}},
                                                                               {"decoder.1.bias", {12}}}) {
      EXPECT_NO_THROW(file.require(prefix + name, "F32", shape));
      ++count;
    }
  }
  EXPECT_NO_THROW(file.require("state", "U32", {4}));
  EXPECT_NO_THROW(file.require("metrics.sums", "F64", {6 + 2}));
  EXPECT_NO_THROW(file.require("metrics.moments", "F64", {1 + 2 * 4}));
  EXPECT_EQ(file.tensors().size(), count + 3);
  const std::vector<float> params = parameters(trainer.vae());
  for (const Parameter& p : trainer.vae().layout().parameters())
    EXPECT_EQ(std::memcmp(file.find(p.name)->data, params.data() + p.offset, p.size() * sizeof(float)), 0) << p.name;

  TrainConfig sgd = small_training();
  sgd.optimizer = Optimizer::sgd;
  save_example(sgd);
  EXPECT_EQ(SafetensorsFile::open(path_).find("optimizer.v.encoder.0.weight"), nullptr);
  EXPECT_EQ(SafetensorsFile::open(path_).find("ema.encoder.0.weight"), nullptr);
}

TEST_P(Checkpoint, LoadedModelComputesTheSame) {
  Trainer trainer = save_example(small_training());
  const Vae loaded = load_vae(backend_, path_);
  EXPECT_EQ(loaded.config(), trainer.vae().config());
  const std::vector<float> x = random_vector(300 * 12, 2, 0, 1), z = random_vector(300 * 2, 3, -2, 2);
  expect_same_bits(loaded.encode(x), trainer.vae().encode(x), "encode");
  expect_same_bits(loaded.decode(z), trainer.vae().decode(z), "decode");
}

// Checkpoints from versions without a choice of estimators.
TEST_P(Checkpoint, WithoutAnEstimatorIsPathwise) {
  save_changed([](Metadata& metadata, Tensors&) {
    nlohmann::json training = nlohmann::json::parse(metadata.at("training"));
    for (const char* key : {"estimator", "cost", "antithetic", "schedule_epochs"})
      EXPECT_EQ(training.erase(key), 1u) << key;
    metadata["training"] = training.dump();
  });
  const TrainConfig read = read_checkpoint_info(path_).training;
  EXPECT_EQ(read.estimator, Estimator::pathwise);
  EXPECT_EQ(read.cost, Cost::elbo);
  EXPECT_FALSE(read.antithetic);
  EXPECT_EQ(Trainer::resume(backend_, path_).state().step, 2u);
}

// Checkpoints from versions without colors and without ranges of pictures.
TEST_P(Checkpoint, WithoutColorsIsGray) {
  save_changed([](Metadata& metadata, Tensors&) {
    json model = json::parse(metadata.at("model"));
    for (const char* key : {"image_channels", "image_channels_first", "image_black", "image_white"})
      EXPECT_EQ(model.erase(key), 1u) << key;
    metadata["model"] = model.dump();
  });
  const VaeConfig read = read_checkpoint_info(path_).model;
  EXPECT_EQ(read, small_model());
  EXPECT_EQ(read.image_channels, 1);
  EXPECT_FALSE(read.image_channels_first);
  EXPECT_EQ(read.image_black, 0);
  EXPECT_EQ(read.image_white, 1);
  EXPECT_EQ(load_vae(backend_, path_).config(), small_model());
  EXPECT_EQ(Trainer::resume(backend_, path_).state().step, 2u);
}

// Two files from a version without checksums, which saved the weights of a single output as a vector.
TEST_P(Checkpoint, ReadsFilesOfOlderVersions) {
  struct Frozen {
    const char* file;
    std::vector<float> z, decoded;
    std::uint32_t step;
  };
  const Frozen all[] = {{"bernoulli", {0.5f, -1}, {0.47808462f, 0.5206746f, 0.68491113f, 0.6146736f}, 6},
                        {"gaussian_learned", {0.5f}, {-0.083096735f, 0.02558246f, 0.02181421f, 0.13338874f}, 6}};
  for (const Frozen& f : all) {
    const std::filesystem::path path =
        std::filesystem::path(CUVAE_SOURCE_DIR) / "tests/frozen" / (std::string(f.file) + ".safetensors");
    EXPECT_FALSE(SafetensorsFile::open(path).metadata().contains("crc32"));
    EXPECT_EQ(read_checkpoint_info(path).examples, 12);
    const std::vector<float> decoded = load_vae(backend_, path).decode(f.z);
    ASSERT_EQ(decoded.size(), f.decoded.size());
    for (std::size_t i = 0; i < decoded.size(); ++i) EXPECT_NEAR(decoded[i], f.decoded[i], 1e-6f) << f.file << i;
    Trainer trainer = Trainer::resume(backend_, path);
    EXPECT_EQ(trainer.state().step, f.step);
    trainer.step(Matrix(backend_, 4, 4, random_vector(16, 1, 0, 1)));
    EXPECT_EQ(trainer.state().updates, f.step + 1);
    trainer.save(path_);
    EXPECT_TRUE(SafetensorsFile::open(path_).metadata().contains("crc32"));
    EXPECT_EQ(Trainer::resume(backend_, path_).state().step, f.step + 1);
  }
}

}  // namespace
}  // namespace cuvae
