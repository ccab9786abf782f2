// Grids of pictures and PNG files.
#include "io/image.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "error_text.h"
#include "io/atomic_file.h"
#include "io/input_file.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

using Pixels = std::vector<std::uint8_t>;
constexpr std::uint8_t p = 64;  // padding

void expect_image(const Image& image, int width, int height, const Pixels& pixels) {
  EXPECT_EQ(image.width, width);
  EXPECT_EQ(image.height, height);
  EXPECT_EQ(image.pixels, pixels);
}

TEST(ImageGrid, ClampsAndRounds) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const float values[] = {nan, -1, 0, 0.5F, 1, 2, -inf, inf, 100.4F / 255, 100.6F / 255};
  expect_image(image_grid(values, 1, {2, 5}, 1, 0), 5, 2, {0, 0, 0, 128, 255, 255, 0, 255, 100, 101});
}

TEST(ImageGrid, PlacesPicturesRowByRow) {
  const float values[] = {0, 1, 1, 0, 1, 1};  // three pictures, one row of two pixels each
  expect_image(image_grid(values, 3, {1, 2}, 2, 1), 7, 5, {p, p,   p,   p, p,   p, p,  //
                                                           p, 0,   255, p, 255, 0, p,  //
                                                           p, p,   p,   p, p,   p, p,  //
                                                           p, 255, 255, p, p,   p, p,  //
                                                           p, p,   p,   p, p,   p, p});
}

TEST(ImageGrid, IsNoWiderThanThePictures) {
  EXPECT_EQ(image_grid(std::vector<float>(8).data(), 2, {2, 2}, 9).width, 10);
}

TEST(ImageGrid, ScalesEveryPixelToASquare) {
  const float values[] = {0, 1};
  expect_image(image_grid(values, 1, {1, 2}, 1, 1, 2), 8, 6, {p, p, p, p, p,   p,   p, p,  //
                                                              p, p, p, p, p,   p,   p, p,  //
                                                              p, p, 0, 0, 255, 255, p, p,  //
                                                              p, p, 0, 0, 255, 255, p, p,  //
                                                              p, p, p, p, p,   p,   p, p,  //
                                                              p, p, p, p, p,   p,   p, p});
}

TEST(ImageGrid, RefusesSizesOutOfRange) {
  const float value = 0;
  const Index huge = std::numeric_limits<Index>::max();
  expect_error([&] { image_grid(&value, 0, {1, 1}, 1); }, "image_grid: count is 0");
  expect_error([&] { image_grid(&value, 1, {-1, 1}, 1); }, "image_grid: height is -1");
  expect_error([&] { image_grid(&value, 1, {1, huge}, 1); }, "image_grid: width is 9223372036854775807");
  expect_error([&] { image_grid(&value, 1, {1, 1}, 0); }, "image_grid: columns is 0");
  expect_error([&] { image_grid(&value, 1, {1, 1}, 1, -1); }, "image_grid: padding is -1");
  expect_error([&] { image_grid(&value, 1, {1, 1}, 1, 2, 0); }, "image_grid: scale is 0");
  expect_error([&] { image_grid(&value, 16384, {16384, 16384}, 1, 0, 16384); }, "the height of the grid");
  expect_error([&] { image_grid(&value, 2, {1, 16384}, 2, 0); }, "the width of the grid");
}

TEST(Png, DecodesToTheSamePixels) {
  const TempDir dir;
  for (const int width : {1, 7, 32, 65}) {
    for (const int height : {1, 2, 128}) {
      Image image{width, height, Pixels(static_cast<std::size_t>(width * height))};
      for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i * i * 37 + i);
      write_png(dir.path() / "image.png", image);
      expect_image(read_png(dir.path() / "image.png"), width, height, image.pixels);
    }
  }
}

TEST(ImageGrid, ShowsColorsOfEitherLayout) {
  const float last[] = {1, 0, 0, 0, 1, 0.5F}, first[] = {1, 0, 0, 1, 0, 0.5F};  // red, then green with half blue
  for (const bool channels_first : {false, true}) {
    const Image image = image_grid(channels_first ? first : last, 1, {1, 2, 3, channels_first}, 1, 0);
    EXPECT_EQ(image.channels, 3);
    expect_image(image, 2, 1, {255, 0, 0, 0, 255, 128});
  }
  const float value = 0;
  expect_error([&] { image_grid(&value, 1, {1, 1, 2}, 1); }, "image_grid: channels is 2 but must be 1 or 3");
}

TEST(ImageGrid, StretchesBetweenBlackAndWhite) {
  const float values[] = {-1, 0, 1, -2, 3};
  expect_image(image_grid(values, 1, {1, 5, 1, false, -1, 1}, 1, 0), 5, 1, {0, 128, 255, 0, 255});
}

TEST(Png, KeepsColorsAndItsDescription) {
  const TempDir dir;
  Image image{2, 1, {1, 2, 3, 4, 5, 6}, 3, "RGB; black is -1"};
  write_png(dir.path() / "image.png", image);
  const Image read = read_png(dir.path() / "image.png");
  EXPECT_EQ(read.channels, 3);
  expect_image(read, 2, 1, image.pixels);
  const std::string file = read_file(dir.path() / "image.png", 1000);
  EXPECT_EQ(file[25], 2);  // the color type
  // The chunk after IHDR. The CRC is that of Python's zlib.crc32(b'tEXtDescription\0RGB; black is -1').
  EXPECT_EQ(file.substr(33, 4 + 4 + 12 + 16), std::string("\0\0\0\x1ctEXtDescription\0RGB; black is -1", 36));
  EXPECT_EQ(file.substr(69, 4), std::string("\xfe\xaf\x95\x5a", 4));
}

TEST(Png, IsEightBitGrayscale) {
  const TempDir dir;
  write_png(dir.path() / "image.png", {3, 2, Pixels(6)});
  const std::string file = read_file(dir.path() / "image.png", 1000);
  EXPECT_EQ(file.substr(0, 16), std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16));
  EXPECT_EQ(file.substr(16, 10), std::string("\0\0\0\x03\0\0\0\x02\x08\0", 10));  // width, height, bits, color type
}

TEST(Png, RefusesPicturesOfAnotherSize) {
  const TempDir dir;
  const auto path = dir.path() / "image.png";
  expect_error(
      [&] {
        write_png(path, {2, 2, Pixels(3)});
      },
      path.string() + ": cannot write: picture is 2 x 2 but has 3 values in 1 channel");
  expect_error([&] { write_png(path, {0, 0, {}}); }, "picture is 0 x 0");
  expect_error([&] { write_png(path, {-2, -2, Pixels(4)}); }, "picture is -2 x -2");
  expect_error([&] { write_png(path, {20000, 1, Pixels(20000)}); }, "picture is 20000 x 1");
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Png, RefusesFilesThatAreNoPicture) {
  const TempDir dir;
  const auto path = dir.path() / "image.png";
  for (const std::string text : {"", "hello", "\x89PNG\r\n\x1a\n"}) {
    write_file_atomically(path, [&](std::ostream& out) { out << text; });
    expect_error([&] { read_png(path); }, path.string() + ": cannot decode as PNG: ");
  }
  expect_error([&] { read_png(dir.path() / "missing.png"); }, "missing.png: cannot read");
}

}  // namespace
}  // namespace cuvae::test
