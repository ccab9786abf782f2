// Pictures of data of any shape, color and range.
#include "cli_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

class CliPictureTest : public CliTest {
 protected:
  std::string write_floats(const std::string& name, const std::string& shape, const std::vector<float>& values) const {
    return write(path(name), npy(1, npy_dict("<f4", shape), float_bytes(values, std::endian::little)));
  }
  static std::vector<float> wave(std::size_t count) {
    std::vector<float> values;
    for (std::size_t i = 0; i < count; ++i) values.push_back(static_cast<float>(i % 7) - 3);
    return values;
  }
  std::string train_gaussian(const std::string& data_file) const {
    return train("run", {"--data", data_file, "--batch", "10", "--epochs", "1", "--likelihood", "gaussian"});
  }
};

// With data of any shape, a run has exit code 0 and a summary, and can be resumed.
TEST_F(CliPictureTest, LongSeriesHaveSmallerPictures) {
  const std::string series = write_floats("x.npy", "(20, 2100, 2)", wave(20 * 2100 * 2)),
                    model = train_gaussian(series);
  expect_picture(model + "/samples.png", 8 * 3 + 1, 2 * 2101 + 1);
  expect_picture(model + "/reconstructions.png", 8 * 3 + 1, 2 * 2101 + 1);
  succeed({"resume", model, "--epochs", "2", "--quiet"});
  expect_failure(run({"sample", model, "--out", path("p.png")}), 1, "write an array (.npy) instead");
  succeed({"sample", model, "--out", path("p.png"), "--count", "49", "--mean"});
}

TEST_F(CliPictureTest, SeriesLongerThanAnyPictureHaveNone) {
  const std::string series = write_floats("x.npy", "(20, 9000, 2)", wave(20 * 9000 * 2));
  Arguments arguments = train_arguments("run", {"--data", series, "--batch", "10", "--likelihood", "gaussian"});
  std::erase(arguments, "--quiet");
  const ProgramResult result = run(arguments);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("no pictures: a picture cannot hold two examples of 9000 x 2 pixels\n"), std::string::npos);
  EXPECT_FALSE(fs::exists(path("run/samples.png")));
  succeed({"resume", path("run"), "--epochs", "3", "--quiet"});
}

TEST_F(CliPictureTest, ColorsOfEitherLayoutAreShown) {
  for (const bool channels_first : {false, true}) {
    std::string pixels;  // red, brighter from row to row
    for (int i = 0; i < 20 * 8 * 8 * 3; ++i) {
      const bool red = channels_first ? i / 64 % 3 == 0 : i % 3 == 0;
      const int row = channels_first ? i / 8 % 8 : i / 24 % 8;
      pixels += static_cast<char>(red ? 31 + 32 * row : 0);
    }
    const std::string shape = channels_first ? "(20, 3, 8, 8)" : "(20, 8, 8, 3)";
    write(path("x.npy"), npy(1, npy_dict("|u1", shape), pixels));
    const std::string model = train(channels_first ? "first" : "last", {"--data", path("x.npy"), "--batch", "10",
                                                                        "--epochs", "1", "--likelihood", "gaussian"});
    succeed({"reconstruct", model, "--data", path("x.npy"), "--count", "1", "--out", path("p.png")});
    const Image image = read_png(path("p.png"));
    EXPECT_EQ(image.channels, 3);
    const int scale = image.width / 10;  // one column of 8 pixels in a frame of 1
    ASSERT_EQ(image.width, 10 * scale);
    for (int row = 0; row < 8; ++row) {
      const std::uint8_t* pixel = image.pixels.data() + 3 * ((1 + row) * scale * image.width + scale);
      EXPECT_EQ(pixel[0], 31 + 32 * row);
      EXPECT_EQ(pixel[1], 0);
      EXPECT_EQ(pixel[2], 0);
    }
  }
}

TEST_F(CliPictureTest, DataOutsideZeroAndOneAreStretched) {
  std::vector<float> values;
  for (int i = 0; i < 20 * 64; ++i) values.push_back(static_cast<float>(i % 64) / 31.5F - 1);
  const std::string model = train_gaussian(write_floats("x.npy", "(20, 8, 8)", values));
  const std::string said =
      succeed({"reconstruct", model, "--data", path("x.npy"), "--count", "1", "--out", path("p.png")});
  EXPECT_EQ(said, path("p.png") + ": gray, -1 is black and 1 is white\n");
  EXPECT_NE(read_bytes(path("p.png")).find("cuvae: gray, -1 is black and 1 is white"), std::string::npos);
  succeed({"encode", model, "--data", path("x.npy"), "--out", path("z.npy")});
  EXPECT_EQ(succeed({"decode", model, "--in", path("z.npy"), "--out", path("d\n.png")}),
            path("d\\n.png") + ": gray, -1 is black and 1 is white\n");
  const Image image = read_png(path("p.png"));
  const int scale = image.width / 10;
  for (int i = 0; i < 64; ++i) {
    const int at = (1 + i / 8) * scale * image.width + (1 + i % 8) * scale;
    EXPECT_NEAR(image.pixels[static_cast<std::size_t>(at)], 255.0 * i / 63, 1) << i;
  }
}

}  // namespace
}  // namespace cuvae::test
