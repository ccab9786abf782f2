// Tests with a saved checkpoint, and with changed copies of it.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cuvae/checkpoint.h"
#include "error_text.h"
#include "io/safetensors.h"
#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae::test {

using Metadata = std::map<std::string, std::string>;
using Tensors = std::vector<Tensor>;

class CheckpointTest : public OpTest {
 protected:
  /// A checkpoint of a trainer that has made two steps.
  Trainer save_example(const TrainConfig& config = thorough_training()) {
    Trainer trainer(backend_, small_model(), config, 33);
    const Matrix x(backend_, 5, 12, random_vector(60, 1, 0, 1));
    trainer.step(x);
    trainer.step(x);
    trainer.save(path_);
    return trainer;
  }

  /// Saves the example after `change`. It has no checksum, like files of older versions.
  void save_changed(const std::function<void(Metadata&, Tensors&)>& change) {
    save_example();
    const SafetensorsFile file = SafetensorsFile::open(path_);
    Metadata metadata = file.metadata();
    Tensors tensors = file.tensors();
    metadata.erase("crc32");
    change(metadata, tensors);
    write_safetensors(path_, metadata, tensors);
  }
  /// Saves the example with another value for `key` in one JSON text of the metadata.
  void save_changed(const char* text, const char* key, const nlohmann::json& value) {
    save_changed([&](Metadata& metadata, Tensors&) {
      nlohmann::json j = nlohmann::json::parse(metadata.at(text));
      j[key] = value;
      metadata[text] = j.dump();
    });
  }

  void expect_refused_by_info(const std::string& reason) {
    refused([&] { read_checkpoint_info(path_); }, reason);
  }
  void expect_refused_by_load(const std::string& reason) {
    refused([&] { load_vae(backend_, path_); }, reason);
  }
  void expect_refused_by_resume(const std::string& reason) {
    refused([&] { Trainer::resume(backend_, path_); }, reason);
  }
  void expect_refused(const std::string& reason) {
    expect_refused_by_info(reason);
    expect_refused_by_load(reason);
    expect_refused_by_resume(reason);
  }

  const TempDir folder_;
  const std::filesystem::path path_ = folder_ / "model.safetensors";

 private:
  void refused(const std::function<void()>& call, const std::string& reason) const {
    const std::string text = error_text(call);
    EXPECT_EQ(text.rfind(path_.string() + ": ", 0), 0u) << text;
    EXPECT_EQ(text.find(path_.string(), 1), std::string::npos) << "names the file twice: " << text;
    EXPECT_NE(text.find(reason), std::string::npos) << "\"" << text << "\" should contain \"" << reason << "\"";
  }
};

}  // namespace cuvae::test
