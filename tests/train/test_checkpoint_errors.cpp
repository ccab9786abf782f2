// A checkpoint that is damaged, of another program or absurd is refused in one line that names it.
#include <sys/resource.h>

#include <random>

#include "checkpoint_test.h"
#include "train/run_checks.h"

namespace cuvae {
namespace {
using namespace test;
using nlohmann::json;

class CheckpointErrors : public CheckpointTest {};
CUVAE_ON_EVERY_BACKEND(CheckpointErrors);

TEST_P(CheckpointErrors, RefusesTensorsThatDoNotFitTheModel) {
  save_changed("model", "encoder_hidden", {9});
  expect_refused("tensor \"encoder.0.weight\" is F32 [8,12] but must be F32 [9,12]");
  save_changed("model", "latent", 3);
  expect_refused("tensor \"encoder.1.weight\" is F32 [4,8] but must be F32 [6,8]");
  save_changed("model", "likelihood", "gaussian-learned");
  expect_refused("there is no tensor \"log_scale\"");
  save_changed([](Metadata&, Tensors& tensors) {
    std::erase_if(tensors, [](const Tensor& t) { return t.name == "decoder.1.bias"; });
  });
  expect_refused("there is no tensor \"decoder.1.bias\"");
  save_changed([](Metadata&, Tensors& tensors) {
    for (Tensor& t : tensors)
      if (t.name == "decoder.1.bias") t.dtype = "I32";
  });
  expect_refused("tensor \"decoder.1.bias\" is I32 [12] but must be F32 [12]");
}

TEST_P(CheckpointErrors, RefusesToResumeWithoutTheOptimizer) {
  for (const std::string name : {"optimizer.m.encoder.0.bias", "optimizer.v.encoder.0.bias", "ema.encoder.0.bias",
                                 "state", "metrics.sums", "metrics.moments"}) {
    save_changed([&](Metadata&, Tensors& tensors) { std::erase_if(tensors, [&](auto& t) { return t.name == name; }); });
    expect_refused_by_resume("there is no tensor \"" + name + "\"");
  }
}

// A width of 2^24 would need gigabytes: nothing may be allocated for an unchecked size.
TEST_P(CheckpointErrors, RefusesAbsurdSettingsWithoutAllocatingForThem) {
  const auto peak_kilobytes = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const auto before = peak_kilobytes();
  for (const auto& [key, value] : std::map<std::string, json>{{"data_dim", 1 << 24}, {"latent", 1 << 24}}) {
    save_changed([&, name = key, width = value](Metadata& metadata, Tensors&) {
      json model = json::parse(metadata.at("model"));
      model[name] = width, model["image_height"] = 1, model["image_width"] = model["data_dim"];
      metadata["model"] = model.dump();
    });
    expect_refused("but must be F32");
  }
  save_changed("model", "decoder_hidden", std::vector<Index>(64, 1 << 24));
  expect_refused("but must be F32 [16777216,2]");
  save_changed("model", "decoder_hidden", std::vector<Index>(100000, 1));
  expect_refused("more than 64 hidden layers");
  for (const json& bad : {json(-1), json(0), json(1e30), json(std::uint64_t{1} << 63), json("8"), json(), json({1})}) {
    save_changed("model", "latent", bad);
    expect_refused("latent");
  }
  save_changed([](Metadata& metadata, Tensors&) {
    json training = json::parse(metadata.at("training")), progress = json::parse(metadata.at("progress"));
    training["batch"] = training["samples"] = progress["examples"] = 0x7fffffff;
    metadata["training"] = training.dump(), metadata["progress"] = progress.dump();
  });
  expect_refused_by_resume("samples");
  EXPECT_LT(peak_kilobytes() - before, 200'000);
}

// Integers must be written as integers within their range.
TEST_P(CheckpointErrors, RefusesNumbersOfAnotherType) {
  for (const auto& [text, key, value] :
       std::initializer_list<std::tuple<const char*, const char*, json>>{{"progress", "data_crc32", 7.9e20},
                                                                         {"progress", "data_crc32", -1},
                                                                         {"progress", "examples", 1e30},
                                                                         {"progress", "examples", true},
                                                                         {"progress", "epochs_without_gain", -1},
                                                                         {"progress", "best_elbo", "0"},
                                                                         {"progress", "best_bound", "0"},
                                                                         {"model", "latent", 4.7},
                                                                         {"model", "latent", 2.0},
                                                                         {"model", "scale", 1e39},
                                                                         {"training", "batch", 4.5},
                                                                         {"training", "seed", -1},
                                                                         {"training", "antithetic", 1},
                                                                         {"training", "pieces", {1}},
                                                                         {"training", "beta", "1"}}) {
    save_changed(text, key, value);
    expect_refused_by_info(key);
    expect_refused_by_resume(key);
  }
}

TEST_P(CheckpointErrors, RefusesRunsThatCannotBe) {
  save_changed("progress", "examples", 4);
  expect_refused_by_info("batch is 5 but there are only 4 training examples");
  save_changed("progress", "examples", std::numeric_limits<Index>::max());
  expect_refused_by_info("more than 4294967294 steps");
  expect_refused_by_resume("more than 4294967294 steps");
}

TEST(RunChecks, RefusesBatchesThatTheDataDoNotHave) {
  expect_error([] { check_run_data(small_data(), small_model(), small_training(), 1 << 29); },
               "training examples but the trainer was made for 536870912");
  EXPECT_NO_THROW(check_run_data(small_data(), small_model(), small_training(), kSmallRows));
}

TEST(RunChecks, RefusesMoreMemoryThanThereIs) {
  EXPECT_NO_THROW(check_memory("training", 1000));
  expect_error([] { check_memory("training", 0x1p70); }, "training: needs about 1.1e+12 GiB of memory, but only ");
}

TEST(RunChecks, CountsTheBytesOfTraining) {
  VaeConfig model;
  model.data_dim = 784, model.latent = 20, model.encoder_hidden = {400}, model.decoder_hidden = {300};
  TrainConfig config;
  config.batch = 10, config.samples = 3;
  const double floats = training_bytes(model, config) / 4,
               parameters = 4 * static_cast<double>(parameter_layout(model).size());
  EXPECT_EQ(floats - parameters, 10 * (784 + 400 + 80) + 30 * (784 + 300 + 40));
  config.ema_decay = 0.9f;
  EXPECT_EQ(training_bytes(model, config) / 4 - floats, parameters / 4);
}

TEST_P(CheckpointErrors, RefusesDamageByTheChecksum) {
  save_example();
  const std::string good = file_bytes(path_);
  const auto expect_damaged = [&](const std::string& bytes, const std::string& reason) {
    std::ofstream(path_, std::ios::binary) << bytes;
    expect_refused(reason);
  };
  std::mt19937 random(4);
  const std::size_t data = good.find("encoder.0.weight") + 6000;
  ASSERT_LT(data, good.size());
  for (int i = 0; i < 50; ++i) {
    std::string bytes = good;
    bytes[data + random() % (bytes.size() - data)] ^= static_cast<char>(1 << random() % 8);
    expect_damaged(bytes, "damaged: the CRC-32 of its content is ");
  }
  std::string zeroed = good;
  std::fill(zeroed.begin() + static_cast<std::ptrdiff_t>(data), zeroed.end(), '\0');
  expect_damaged(zeroed, "damaged: the CRC-32 of its content is ");
  std::string other_seed = good;
  const std::size_t seed = good.find("seed\\\":") + 7;
  other_seed[seed] = other_seed[seed] == '1' ? '2' : '1';
  expect_damaged(other_seed, "damaged: the CRC-32 of its content is ");
}

TEST_P(CheckpointErrors, RefusesWeightsThatAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()})
    for (const std::string name : {"encoder.1.bias", "ema.encoder.1.bias"}) {
      std::vector<float> values(4);
      values[2] = bad;
      save_changed([&](Metadata&, Tensors& tensors) {
        for (Tensor& t : tensors)
          if (t.name == name) t.data = values.data();
      });
      expect_refused_by_resume("tensor \"" + name + "\" has the value " + (std::isnan(bad) ? "nan" : "-inf") +
                               " at index 2");
      if (name.starts_with("ema")) expect_refused_by_load("tensor \"" + name + "\" has the value ");
    }
}

TEST_P(CheckpointErrors, RefusesMetadataThatAreNotACheckpoints) {
  for (const char* key : {"format", "model", "training", "progress"}) {
    save_changed([&](Metadata& metadata, Tensors&) { metadata.erase(key); });
    expect_refused_by_resume(key);
    expect_refused_by_info(key);
  }
  save_changed([](Metadata& metadata, Tensors&) { metadata["format"] = "cuvae 2"; });
  expect_refused("not a cuvae checkpoint");
  for (const char* key : {"model", "training", "progress"})
    for (const char* text : {"", "{", "[]", "7", "null", "{\"latent\":}", "\xc3\xa4", "{\"a\n\":1}"}) {
      save_changed([&](Metadata& metadata, Tensors&) { metadata[key] = text; });
      expect_refused_by_resume("");
      expect_refused_by_info("");
    }
  save_changed("training", "optimizer", "adam\nwith a second line");
  expect_refused_by_resume("optimizer");
  save_changed("training", "beta1", 1.5);
  expect_refused_by_resume("beta1 is 1.5");
  save_changed("progress", "examples", 0);
  expect_refused_by_resume("examples is 0");
}

TEST_P(CheckpointErrors, RefusesForeignAndTruncatedFiles) {
  write_safetensors(path_, {}, {});
  expect_refused("not a cuvae checkpoint");
  save_example();
  const std::string bytes = file_bytes(path_);
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    std::ofstream(path_, std::ios::binary) << bytes.substr(0, length);
    expect_refused("");
  }
  std::filesystem::remove(path_);
  expect_refused("No such file");
}

// Opening a file with any damaged header gives a model or an Error.
TEST_P(CheckpointErrors, SurvivesRandomDamage) {
  save_example();
  const std::string good = file_bytes(path_);
  const std::size_t header = good.find("encoder.0.weight") + 6000;
  std::mt19937 random(3);
  const std::string tokens = "{}[]\":,-0123456789eE.\\ ";
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = good;
    for (auto changes = 1 + random() % 3; changes > 0; --changes)
      bytes[random() % std::min(header, bytes.size())] = tokens[random() % tokens.size()];
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      Trainer::resume(backend_, path_);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace cuvae
