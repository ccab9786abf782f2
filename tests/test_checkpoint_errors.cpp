// A checkpoint that is damaged, foreign or absurd is refused in one line that names it.
#include <sys/resource.h>

#include <random>

#include "checkpoint_test.h"

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

// A width of 2^24 would take gigabytes: nothing may be allocated for what a file merely says.
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

// Whatever happens to a file's header, opening it gives a model or an Error.
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
