// Common to all tests of the command line: a small data set, small models, and runs of the program in a new folder.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "cuvae/dataset.h"
#include "dataset_files.h"
#include "io/image.h"
#include "run_program.h"
#include "temp_dir.h"

namespace cuvae::test {

using Arguments = std::vector<std::string>;
using Json = nlohmann::json;

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

inline std::vector<Json> json_lines(const std::filesystem::path& path) {
  std::vector<Json> objects;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) objects.push_back(Json::parse(line));
  return objects;
}

/// Expects a picture of this size that is not of one color.
inline void expect_picture(const std::filesystem::path& path, int width, int height) {
  const Image image = read_png(path);
  EXPECT_EQ(image.width, width) << path;
  EXPECT_EQ(image.height, height) << path;
  const auto [least, most] = std::minmax_element(image.pixels.begin(), image.pixels.end());
  EXPECT_GT(*most - *least, 50) << path << " is almost constant";
}

/// Expects this exit code, one line on stderr that contains `part`, and no output.
inline void expect_failure(const ProgramResult& result, int code, const std::string& part) {
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(result.err.starts_with("cuvae: ") && result.err.ends_with('\n')) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << "\"" << result.err << "\" should contain \"" << part << "\"";
  EXPECT_EQ(result.out, "");
}

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    std::filesystem::create_directory(data());
    cut_digits(Split::train, "train-images-idx3-ubyte", 200);
    cut_digits(Split::test, "t10k-images-idx3-ubyte", 50);
  }

  std::string path(const std::string& name) const { return dir_ / name; }
  std::string data() const { return path("data"); }

  static Arguments cuvae(const Arguments& arguments) { return Arguments{CUVAE_CLI} + arguments; }
  static ProgramResult run(const Arguments& arguments, const ProgramOptions& options = {}) {
    return run_program(cuvae(arguments), options);
  }
  /// Expects exit code 0 and an empty stderr. Returns the output.
  static std::string succeed(const Arguments& arguments, const ProgramOptions& options = {}) {
    const ProgramResult result = run(arguments, options);
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.err, "");
    return result.out;
  }

  /// Arguments for eight steps of a small model. Flags in `more` replace the default ones.
  Arguments train_arguments(const std::string& out, const Arguments& more = {}) const {
    Arguments arguments = {"train", "--quiet", "--out", path(out)};
    const std::pair<std::string, std::string> defaults[] = {{"--data", data()}, {"--epochs", "2"},  {"--batch", "50"},
                                                            {"--latent", "2"},  {"--hidden", "16"}, {"--threads", "1"}};
    const auto given = [&](const std::string& flag) { return std::find(more.begin(), more.end(), flag) != more.end(); };
    for (const auto& [flag, value] : defaults)
      if (!given(flag) && !(flag == "--hidden" && given("--encoder-hidden")))
        arguments = arguments + Arguments{flag, value};
    return arguments + more;
  }
  std::string train(const std::string& out, const Arguments& more = {}) const {
    succeed(train_arguments(out, more));
    return path(out);
  }

  TempDir dir_;

 private:
  void cut_digits(Split split, const std::string& name, std::uint32_t count) const {
    const Dataset all = Dataset::open(CUVAE_SOURCE_DIR "/data/mnist-10k", split);
    const std::string pixels(static_cast<const char*>(all.data()), std::size_t{count} * 784);
    write(dir_ / "data" / name, idx(0x08, {count, 28, 28}, pixels));
  }
};

}  // namespace cuvae::test
