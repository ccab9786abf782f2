// The safetensors format: written files can be read, and no damaged file causes anything but an error.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "error_text.h"
#include "io/input_file.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

/// A file with this header and data.
std::string file_bytes(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + data;
}

class Safetensors : public testing::Test {
 protected:
  /// Opens a file of these bytes.
  SafetensorsFile open(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    return SafetensorsFile::open(path_);
  }

  void expect_refused(const std::string& header, const std::string& data, const std::string& reason) const {
    expect_error([&] { open(file_bytes(header, data)); }, path_.string() + ": " + reason);
  }

  /// A small file with tensors of three types.
  std::string example() const {
    write_safetensors(path_, {{"format", "cuvae"}, {"step", "7"}},
                      {{"mask", "U8", {3}, mask_.data(), 3},
                       {"encoder.w", "F32", {2, 3}, weights_.data(), 24},
                       {"step", "U64", {}, &step_, 8}});
    return read_file(path_, 1000);
  }

  const TempDir dir_;
  const fs::path path_ = dir_.path() / "model.safetensors";
  const std::array<std::uint8_t, 3> mask_{1, 2, 3};
  const std::array<float, 6> weights_{0, 1, -2, 0.5F, 1e-40F, 3e38F};
  const std::uint64_t step_ = 0x0123456789abcdef;
};

TEST_F(Safetensors, ReadsWhatWasWritten) {
  const SafetensorsFile file = open(example());
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "cuvae"}, {"step", "7"}}));
  EXPECT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(std::memcmp(file.require("encoder.w", "F32", {2, 3}).data, weights_.data(), 24), 0);
  EXPECT_EQ(std::memcmp(file.require("step", "U64", {}).data, &step_, 8), 0);
  EXPECT_EQ(std::memcmp(file.require("mask", "U8", {3}).data, mask_.data(), 3), 0);
  EXPECT_EQ(file.find("nothing"), nullptr);
}

TEST_F(Safetensors, HasTheBytesOfTheFormat) {
  const std::array<std::uint16_t, 1> half{0x3c00};
  const std::array<float, 2> values{1, -2};
  write_safetensors(path_, {{"a", "b"}}, {{"h", "F16", {1}, half.data(), 2}, {"w", "F32", {2, 1}, values.data(), 8}});
  const std::string header = R"({"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                             R"("h":{"dtype":"F16","shape":[1],"data_offsets":[8,10]}})";
  const std::string padding(7 - (header.size() + 7) % 8, ' ');
  const std::string data("\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x3c", 10);
  EXPECT_EQ(read_file(path_, 1000), file_bytes(header + padding, data));
}

TEST_F(Safetensors, WritesNoTensorsAndEmptyOnes) {
  write_safetensors(path_, {}, {});
  EXPECT_TRUE(SafetensorsFile::open(path_).tensors().empty());
  write_safetensors(path_, {}, {{"none", "F32", {0, 5}, nullptr, 0}, {"one", "U8", {1}, mask_.data(), 1}});
  const SafetensorsFile file = SafetensorsFile::open(path_);
  EXPECT_EQ(file.require("none", "F32", {0, 5}).bytes, 0U);
  EXPECT_EQ(file.require("one", "U8", {1}).bytes, 1U);
}

TEST_F(Safetensors, KeepsNamesThatNeedEscapes) {
  const std::string name = "\"\n\x01\xc3\xa4";
  write_safetensors(path_, {{name, name}}, {{name, "U8", {3}, mask_.data(), 3}});
  const SafetensorsFile file = SafetensorsFile::open(path_);
  EXPECT_EQ(file.metadata().at(name), name);
  EXPECT_EQ(file.require(name, "U8", {3}).bytes, 3U);
  expect_error([&] { file.require(name, "U8", {4}); }, "tensor \"\\\"\\n\\u0001\\u00e4\" is U8 [3] but must be U8 [4]");
}

TEST_F(Safetensors, WritesOnlyWhatCanBeRead) {
  const auto write = [&](const std::vector<Tensor>& tensors) { write_safetensors(path_, {}, tensors); };
  const Tensor good{"a", "F32", {2}, weights_.data(), 8};
  expect_error([&] { write({good, good}); }, "the name \"a\" is already used");
  expect_error(
      [&] {
        write({{"__metadata__", "F32", {2}, weights_.data(), 8}});
      },
      "the name \"__metadata__\" is already used");
  expect_error([&] { write({{"a", "F32", {3}, weights_.data(), 8}}); }, "tensor \"a\" is F32 [3] but has 8 bytes");
  expect_error([&] { write({{"a", "F32", {-1, -2}, weights_.data(), 8}}); }, "is F32 [-1,-2] but has 8 bytes");
  expect_error(
      [&] {
        write({{"a", "float", {2}, weights_.data(), 8}});
      },
      "tensor \"a\" has the unknown dtype \"float\"");
  expect_error([&] { write({{"\xff", "F32", {2}, weights_.data(), 8}}); }, "not UTF-8");
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(Safetensors, NamesWhatIsRequiredAndWhatIsThere) {
  const SafetensorsFile file = open(example());
  expect_error(
      [&] {
        file.require("decoder.w", "F32", {2, 3});
      },
      path_.string() + ": there is no tensor \"decoder.w\"");
  expect_error(
      [&] {
        file.require("encoder.w", "F32", {3, 2});
      },
      path_.string() + ": tensor \"encoder.w\" is F32 [2,3] but must be F32 [3,2]");
  expect_error([&] { file.require("encoder.w", "BF16", {2, 3}); }, "is F32 [2,3] but must be BF16 [2,3]");
}

TEST_F(Safetensors, RefusesEveryTruncationAndTrailingBytes) {
  const std::string bytes = example();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    expect_error([&] { open(bytes.substr(0, length)); }, path_.string() + ": ");
  }
  expect_error([&] { open(bytes + 'x'); }, "1 bytes too many at byte " + std::to_string(bytes.size()));
}

TEST_F(Safetensors, SurvivesRandomDamage) {
  const std::string good = example();
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return random() % n; };
  const std::string tokens = "{}[]\":,-0123456789eE.\\ \xff";
  const auto token = [&] { return tokens[below(tokens.size())]; };
  const std::array<std::function<void(std::string&, std::size_t)>, 5> damages{
      [&](std::string& bytes, std::size_t at) { bytes[at] = static_cast<char>(random()); },
      [&](std::string& bytes, std::size_t at) { bytes[at] = token(); },
      [&](std::string& bytes, std::size_t at) { bytes.insert(at, 1 + below(3), token()); },
      [&](std::string& bytes, std::size_t at) { bytes.erase(at, 1 + below(9)); },
      [&](std::string& bytes, std::size_t at) { bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(40))); }};
  int opened = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = good;
    for (std::size_t changes = 1 + below(3); changes > 0; --changes) damages[below(5)](bytes, below(bytes.size()));
    try {
      const SafetensorsFile file = open(bytes);
      for (const Tensor& tensor : file.tensors()) {  // reads every byte of every tensor
        EXPECT_EQ(std::string(static_cast<const char*>(tensor.data), tensor.bytes).size(), tensor.bytes);
      }
      ++opened;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(opened, 0);     // damage within the data is not an error
  EXPECT_LT(opened, 2500);  // most of the file is header
}

TEST_F(Safetensors, RefusesAbsurdHeaderLengths) {
  for (const std::uint64_t length : {3ULL, 100'000'001ULL, 1ULL << 40, ~0ULL, ~0ULL - 7}) {
    std::string bytes = file_bytes("{}", "");
    std::memcpy(bytes.data(), &length, sizeof(length));
    expect_error([&] { open(bytes); }, "header of " + std::to_string(length) + " bytes");
  }
  // A sparse file that is long enough.
  open(file_bytes("{}", ""));
  const std::uint64_t length = 100'000'001;
  std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary).write(reinterpret_cast<const char*>(&length), 8);
  fs::resize_file(path_, 200'000'000);
  expect_error([&] { SafetensorsFile::open(path_); }, "header of 100000001 bytes");
}

TEST_F(Safetensors, RefusesForeignFiles) {
  expect_error([&] { SafetensorsFile::open(dir_.path() / "missing"); }, "missing: cannot read: No such file");
  expect_error([&] { SafetensorsFile::open(dir_.path()); }, "not a regular file");
  expect_error([&] { open(""); }, "not a safetensors file: only 0 bytes");
  expect_error([&] { open("PK\x03\x04 a PyTorch zip file"); }, "not a safetensors file");
  expect_refused("", "", "not a safetensors file: no '{' at byte 8");
  expect_refused("[]", "", "not a safetensors file: no '{' at byte 8");
  expect_refused(R"({"a":})", "", "the header is not JSON at byte 13");
  expect_refused("{}{}", "", "the header is not JSON at byte 10");
  expect_refused("{\"\xff\":1}", "", "the header is not JSON at byte 10");
}

TEST_F(Safetensors, RefusesDeepNestingAndDoubledKeys) {
  const std::string entry = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_refused("{" + entry + "," + entry + "}", "x", "the header has the key \"a\" twice");
  expect_refused(R"({"a":{"dtype":"U8","dtype":"U8"}})", "", "the header has the key \"dtype\" twice");
  for (const std::string opening : {"[", "{\"a\":"}) {
    std::string header = "{\"a\":";
    for (int i = 0; i < 1'000'000; ++i) header += opening;
    expect_refused(header, "", "the header nests deeper than 64 levels");
  }
}

// 2.2 MB: a reader that compares all pairs of entries needs minutes.
TEST_F(Safetensors, ReadsManyTensorsInLinearTime) {
  std::string header = "{";
  for (int i = 0; i < 40'000; ++i)
    header += "\"tensor." + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
  header.back() = '}';
  EXPECT_EQ(open(file_bytes(header, "")).tensors().size(), 40'000U);
}

TEST_F(Safetensors, RefusesWrongEntries) {
  const auto entry = [](const std::string& text) { return "{\"a\":{" + text + "}}"; };
  expect_refused(R"({"a":1})", "", "tensor \"a\" is not described by an object");
  expect_refused(R"({"__metadata__":[]})", "", "__metadata__ is not an object");
  expect_refused(R"({"__metadata__":{"a":1}})", "", "__metadata__ \"a\" is not a string");
  expect_refused(entry(R"("dtype":1,"shape":[1],"data_offsets":[0,1])"), "x", "tensor \"a\" has no dtype");
  expect_refused(entry(R"("dtype":"Q9","shape":[1],"data_offsets":[0,1])"), "x",
                 "tensor \"a\" has the unknown dtype \"Q9\"");
  for (const std::string shape : {"1", "[-1]", "[1.0]", "[\"1\"]", "[9223372036854775808]", "[99999999999999999999]"}) {
    expect_refused(entry(R"("dtype":"U8","data_offsets":[0,1],"shape":)" + shape), "x", "tensor \"a\" has no shape");
  }
  for (const std::string offsets : {"{}", "[]", "[0]", "[0,1,1]", "[-1,1]", "[0,1e0]"}) {
    expect_refused(entry(R"("dtype":"U8","shape":[1],"data_offsets":)" + offsets), "x",
                   "tensor \"a\" has no data_offsets");
  }
}

TEST_F(Safetensors, RefusesSizesThatDoNotFit) {
  const auto header = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  expect_refused(header("U8", "[1]", "[0,1]"), "", "tensor \"a\" reaches beyond the end of the file, at byte 61");
  expect_refused(header("U8", "[1]", "[0,9223372036854775807]"), "x",
                 "tensor \"a\" reaches beyond the end of the file");
  expect_refused(header("U8", "[1]", "[1,0]"), "x", "tensor \"a\" ends before it begins, at byte 62");
  expect_refused(header("F32", "[1]", "[0,1]"), "x", "tensor \"a\" is F32 [1] but has 1 bytes");
  expect_refused(header("F32", "[4611686018427387904]", "[0,0]"), "", "tensor \"a\" is F32 [4611686018427387904]");
  expect_refused(header("U8", "[4294967296,4294967296]", "[0,0]"), "", "tensor \"a\" is U8 [4294967296,4294967296]");
}

TEST_F(Safetensors, RefusesHolesOverlapsAndMisalignedData) {
  const auto two = [](const std::string& a, const std::string& b, const std::string& b_type = "U8") {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a + R"(},"b":{"dtype":")" + b_type +
           (b_type == "U8" ? R"(","shape":[4])" : R"(","shape":[1])") + R"(,"data_offsets":)" + b + "}}";
  };
  EXPECT_EQ(open(file_bytes(two("[4,8]", "[0,4]"), "01234567")).tensors().at(0).name, "b");
  const auto byte = [&](std::size_t n) { return std::to_string(8 + two("[0,4]", "[4,8]").size() + n); };
  expect_refused(two("[0,4]", "[3,7]"), "0123456", "tensor \"b\" begins at byte ");
  expect_refused(two("[0,4]", "[0,4]"), "0123",
                 "tensor \"b\" begins at byte " + byte(0) + " but must begin at byte " + byte(4));
  expect_refused(two("[0,4]", "[5,9]"), "012345678", "tensor \"b\" begins at byte ");
  expect_refused(two("[1,5]", "[5,9]"), "012345678", "tensor \"a\" begins at byte ");
  expect_refused(two("[0,4]", "[4,8]"), "012345678", "1 bytes too many at byte ");
  expect_refused(two("[0,4]", "[2,6]", "F32"), "012345", "tensor \"b\" is not aligned, at byte ");
}

}  // namespace
}  // namespace cuvae::test
