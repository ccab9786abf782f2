// NPY files of every type and order, written by NumPy 2.4. The float32 values are from its astype.
#include <cmath>
#include <limits>

#include "base64.h"
#include "read_test.h"

namespace cuvae::test {
namespace {

struct Frozen {
  std::string descr, hex;
  std::vector<float> values;
};

const Frozen kFrozen[] = {
    {"|b1", "00010100", {0, 1, 1, 0}},
    {"|u1", "00ff0105", {0, 255, 1, 5}},
    {"|i1", "807f0005", {-128, 127, 0, 5}},
    {"<i2", "0080ff7f00000500", {-32768, 32767, 0, 5}},
    {">i2", "80007fff00000005", {-32768, 32767, 0, 5}},
    {"<u2", "0000ffff01000500", {0, 65535, 1, 5}},
    {">u2", "0000ffff00010005", {0, 65535, 1, 5}},
    {"<i4", "00000080ffffff7f01000001f9ffffff", {-0x1p31F, 0x1p31F, 0x1p24F, -7}},
    {">i4", "800000007fffffff01000001fffffff9", {-0x1p31F, 0x1p31F, 0x1p24F, -7}},
    {"<u4", "00000000ffffffff0100000105000000", {0, 0x1p32F, 0x1p24F, 5}},
    {">u4", "00000000ffffffff0100000100000005", {0, 0x1p32F, 0x1p24F, 5}},
    {"<i8",
     "0000000000000080ffffffffffffff7f0300000100000000f9ffffffffffffff",
     {-0x1p63F, 0x1p63F, 0x1.000004p24F, -7}},
    {">i8",
     "80000000000000007fffffffffffffff0000000001000003fffffffffffffff9",
     {-0x1p63F, 0x1p63F, 0x1.000004p24F, -7}},
    {"<u8", "0000000000000000ffffffffffffffff01000000000020000500000000000000", {0, 0x1p64F, 0x1p53F, 5}},
    {">u8", "0000000000000000ffffffffffffffff00200000000000010000000000000005", {0, 0x1p64F, 0x1p53F, 5}},
    {"<f2", "003efffb0100662e", {1.5F, -65504, 0x1p-24F, 0x1.998p-4F}},
    {">f2", "3e00fbff00012e66", {1.5F, -65504, 0x1p-24F, 0x1.998p-4F}},
    {"<f4", "0000c03fffff7fff01000000cdcccc3d", {1.5F, -0x1.fffffep127F, 0x1p-149F, 0.1F}},
    {">f4", "3fc00000ff7fffff000000013dcccccd", {1.5F, -0x1.fffffep127F, 0x1p-149F, 0.1F}},
    {"<f8", "9a9999999999b93f1fb8d44a7aee8db5555555555555d53f000000e0ffffef47", {0.1F, 0, 1 / 3.0F, 0x1.fffffep127F}},
    {">f8", "3fb999999999999ab58dee7a4ad4b81f3fd555555555555547efffffe0000000", {0.1F, 0, 1 / 3.0F, 0x1.fffffep127F}}};

TEST(Npy, EveryTypeAndByteOrder) {
  for (const auto& [descr, hex, values] : kFrozen) {
    const std::string bytes = npy(1, npy_dict(descr, "(2, 2)"), from_hex(hex));
    for (const std::string& file : {bytes, gzip(bytes)}) {
      const Dataset set = read_bytes_as_data(file);
      EXPECT_EQ(set.dtype(), descr == "|u1" ? DType::u8 : DType::f32) << descr;
      EXPECT_EQ(set.rows(), 2);
      EXPECT_EQ(values_of(set), values) << descr;
    }
  }
}

TEST(Npy, EveryHalf) {
  // Against the definition: sign * 2^(e - 15) * (1 + m / 1024), and m * 2^-24 for e = 0.
  std::string bytes;
  std::vector<float> expected;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const unsigned exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31) continue;
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, static_cast<int>(exponent) - 25);
    bytes += {static_cast<char>(bits & 0xff), static_cast<char>(bits >> 8)};
    expected.push_back(static_cast<float>(bits >> 15 ? -magnitude : magnitude));
  }
  const std::string shape = "(1, " + std::to_string(expected.size()) + ")";
  EXPECT_EQ(values_of(read_bytes_as_data(npy(1, npy_dict("<f2", shape), bytes))), expected);
  EXPECT_EQ(read_error(npy(1, npy_dict("<f2", "(1, 2)"), from_hex("0000007c"))),
            "value 1 of example 0 is inf, but must be finite");
  EXPECT_EQ(read_error(npy(1, npy_dict(">f2", "(2, 1)"), from_hex("00007e00"))),
            "value 0 of example 1 is nan, but must be finite");
}

TEST(Npy, WholeFilesOfNumpy) {
  const std::string boolean =
      "k05VTVBZAQB2AHsnZGVzY3InOiAnfGIxJywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDEsIDMpLCB9ICAgICAgICAgICAg"
      "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBAAE=";
  EXPECT_EQ(values_of(read_bytes_as_data(from_base64(boolean))), (std::vector<float>{1, 0, 1}));
  for (const std::string version :
       {"k05VTVBZAgB0AAAAeydkZXNjcic6ICc8ZjgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMSwgMiksIH0gICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAD4PwAAAAAAAABA",
        "k05VTVBZAwB0AAAAeydkZXNjcic6ICc8ZjgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMSwgMiksIH0gICAgICAgICAg"
        "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAD4PwAAAAAAAABA"})
    EXPECT_EQ(values_of(read_bytes_as_data(from_base64(version))), (std::vector<float>{1.5F, 2}));
}

TEST(Npy, FortranOrderIsTransposed) {
  // numpy.asfortranarray([[0.5, -1.25, 3], [4, 5, 6.75]]), then the same as uint8 1 to 6.
  const std::string doubles =
      "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAgICAgICAg"
      "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAADgPwAAAAAAABBAAAAAAAAA9L8AAAAAAAAUQAAA"
      "AAAAAAhAAAAAAAAAG0A=";
  const std::string bytes =
      "k05VTVBZAQB2AHsnZGVzY3InOiAnfHUxJywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMyksIH0gICAgICAgICAgICAg"
      "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoBBAIFAwY=";
  EXPECT_EQ(values_of(read_bytes_as_data(from_base64(doubles))), (std::vector<float>{0.5F, -1.25F, 3, 4, 5, 6.75F}));
  EXPECT_EQ(values_of(read_bytes_as_data(from_base64(bytes))), (std::vector<float>{1, 2, 3, 4, 5, 6}));

  // numpy.asfortranarray(numpy.arange(24).reshape(2, 3, 4)) as int16.
  const std::string hex =
      "00000c00040010000800140001000d00050011000900150002000e00060012000a00160003000f00070013000b001700";
  const Dataset cube =
      read_bytes_as_data(npy(1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3, 4), }", from_hex(hex)));
  EXPECT_EQ(cube.image_height(), 3);
  EXPECT_EQ(cube.image_width(), 4);
  std::vector<float> expected(24);
  for (std::size_t i = 0; i < 24; ++i) expected[i] = static_cast<float>(i);
  EXPECT_EQ(values_of(cube), expected);
}

TEST(Npy, FortranOrderOfManyRows) {
  // More rows than one block of the transposition, and a last block of another size: x[i, j] = 3 i + j as uint16.
  std::string bytes;
  for (unsigned j = 0; j < 3; ++j)
    for (unsigned i = 0; i < 150; ++i)
      bytes += {static_cast<char>((3 * i + j) & 0xff), static_cast<char>((3 * i + j) >> 8)};
  const Dataset set = read_bytes_as_data(npy(1, "{'descr': '<u2', 'fortran_order': True, 'shape': (150, 3), }", bytes));
  const std::vector<float> values = values_of(set);
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], static_cast<float>(i));
}

TEST(Npy, DoublesBeyondFloat32AreNamed) {
  const auto doubles = [](const std::vector<double>& values) {
    return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
  };
  const std::string error = "value 2 of example 1 is -1e+300, but the largest float32 is 3.40282e+38: rescale the data";
  EXPECT_EQ(read_error(npy(1, npy_dict("<f8", "(2, 3)"), doubles({0, 1, 2, 3, 4, -1e300}))), error);
  EXPECT_EQ(read_error(
                npy(1, "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }", doubles({0, 1, 2, 3, 4, -1e300}))),
            error);
  EXPECT_EQ(read_error(npy(1, npy_dict("<f8", "(2, 1)"), doubles({0, std::numeric_limits<double>::infinity()}))),
            "value 0 of example 1 is inf, but must be finite");
}

TEST(Npy, TypesThatAreNotRead) {
  const std::pair<std::string, std::string> cases[] = {
      {"<c16", "\"<c16\" (complex numbers); in Python: numpy.save('x.npy', x.real.astype(numpy.float32))"},
      {"|O", "\"|O\" (Python objects); in Python: numpy.save('x.npy', x.astype(numpy.float32))"},
      {"<U2", "\"<U2\" (text); in Python: numpy.save('x.npy', x.astype(numpy.float32))"},
      {"|S1", "\"|S1\" (text); in Python: numpy.save('x.npy', x.astype(numpy.float32))"},
      {"<M8[D]", "\"<M8[D]\" (dates); in Python: numpy.save('x.npy', x.astype(numpy.int64).astype(numpy.float32))"},
      {"<f16", "\"<f16\" (extended precision); in Python: numpy.save('x.npy', x.astype(numpy.float32))"},
      {"|V4", "\"|V4\" (no numbers); in Python: numpy.save('x.npy', x.astype(numpy.float32))"}};
  for (const auto& [descr, text] : cases)
    EXPECT_EQ(read_error(npy(1, npy_dict(descr, "(2, 2)"), "")), "unsupported NPY type at byte 20: " + text);
  for (const std::string descr : {"<f1", "|i2", "<b2", "f4", "", "<", "<f", "<f44", "<i3", "xi4", "<f9"})
    EXPECT_TRUE(read_error(npy(1, npy_dict(descr, "(2, 2)"), "")).starts_with("unsupported NPY type")) << descr;
  EXPECT_EQ(read_error(npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2), }", "")),
            "a structured array at byte 20: plain numbers are read; in Python, save "
            "numpy.lib.recfunctions.structured_to_unstructured(x)");
}

TEST(Npy, OneDimensionIsNoMatrix) {
  EXPECT_EQ(
      read_error(npy(1, npy_dict("<f4", "(640,)"), std::string(2560, '\0'))),
      "one dimension at byte 59: 640 values, but examples are rows [N, D]: give the images if these are labels, or "
      "save x.reshape(-1, 1)");
}

TEST(Npy, EveryPrefixIsTruncated) {
  for (const auto& [descr, hex, values] : kFrozen) {
    const std::string bytes =
        npy(1, "{'descr': '" + descr + "', 'fortran_order': True, 'shape': (2, 2), }", from_hex(hex));
    for (std::size_t size = 10; size < bytes.size(); ++size)
      EXPECT_TRUE(read_error(bytes.substr(0, size)).starts_with("truncated at byte " + std::to_string(size))) << descr;
  }
}

TEST(Npy, AHeaderOfManyDimensionsTakesNoTime) {
  std::string shape = "(";
  for (int i = 0; i < 20000; ++i) shape += "1, ";
  const std::string dict = "{'descr': '|u1', 'fortran_order': True, 'shape': " + shape + "60000), }";
  EXPECT_EQ(read_bytes_as_data(npy(2, dict, std::string(60000, '\1'))).cols(), 60000);
}

TEST(Npy, AWidthThatIsNotWantedIsRefusedBeforeTheValues) {
  const TempDir dir;
  const auto path = write(dir / "x", npy(1, npy_dict("<f8", "(1000000, 6)"), ""));
  expect_error([&] { Dataset::open(path, Split::train, {2, 4}); }, "rows have 6 values but the model needs 2 or 4");
  expect_error([&] { Dataset::open(path, Split::train, {6}); }, "truncated");
}

}  // namespace
}  // namespace cuvae::test
