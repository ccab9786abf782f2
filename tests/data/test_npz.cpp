// NPZ archives from NumPy, and hostile ones in which every length may be wrong.
#include <sys/resource.h>

#include "base64.h"
#include "read_test.h"

namespace cuvae::test {
namespace {

// numpy.savez(f, a), savez_compressed(f, weights=a, labels=b), savez into a pipe, and two made by Python's zipfile, for
// a = [[0.5, -1.25], [3, 4]] in float32 and b = [[1, 2, 3]] in uint8.
const std::string kSavez =
    "UEsDBC0AAAAAAAAAIQA2EkQW//////////8JABQAYXJyXzAubnB5AQAQAJAAAAAAAAAAkAAAAAAAAACTTlVNUFkBAHYAeydkZXNjcic6ICc8"
    "ZjQnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
    "ICAgICAgICAgICAgICAgICAgICAgICAgCgAAAD8AAKC/AABAQAAAgEBQSwECLQMtAAAAAAAAACEANhJEFpAAAACQAAAACQAAAAAAAAAAAAAA"
    "gAEAAAAAYXJyXzAubnB5UEsFBgAAAAABAAEANwAAAMsAAAAAAA==";
const std::string kCompressed =
    "UEsDBC0AAAAIAAAAIQA2EkQW//////////8LABQAd2VpZ2h0cy5ucHkBABAAkAAAAAAAAABWAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6l"
    "oG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CkaaOgq1CmQDLgYGBnsGhgX7GRgcHBgYGhwAUEsDBC0AAAAIAAAAIQAC"
    "Yeg///////////8KABQAbGFiZWxzLm5weQEAEACDAAAAAAAAAEkAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgXlNqqK6joJ6WX1RSlJgX"
    "n1+UkgoSd0vMKU4FihdnJBakAvkahjoKxpo6CrUKZAMuRiZmAFBLAQItAy0AAAAIAAAAIQA2EkQWVgAAAJAAAAALAAAAAAAAAAAAAACAAQAA"
    "AAB3ZWlnaHRzLm5weVBLAQItAy0AAAAIAAAAIQACYeg/SQAAAIMAAAAKAAAAAAAAAAAAAACAAZMAAABsYWJlbHMubnB5UEsFBgAAAAACAAIA"
    "cQAAABgBAAAAAA==";
const std::string kStreamed =
    "UEsDBC0ACAAAAAAAIQAAAAAA//////////8FABQAYS5ucHkBABAAAAAAAAAAAAAAAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJzxmNCcs"
    "ICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICgyLCAyKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
    "ICAgICAgICAgICAgICAgICAgICAKAAAAPwAAoL8AAEBAAACAQFBLBwg2EkQWkAAAAAAAAACQAAAAAAAAAFBLAQItAy0ACAAAAAAAIQA2EkQW"
    "kAAAAJAAAAAFAAAAAAAAAAAAAACAAQAAAABhLm5weVBLBQYAAAAAAQABADMAAADfAAAAAAA=";
const std::string kForeign =
    "UEsDBBQAAAAAAFENel1wTT+9CAAAAAgAAAAKAAAAcmVhZG1lLnR4dG5vIGFycmF5UEsDBBQAAAAAAFENel02EkQWkAAAAJAAAAALAAAAZGly"
    "L3g6eS5ucHmTTlVNUFkBAHYAeydkZXNjcic6ICc8ZjQnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwgMiksIH0gICAg"
    "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgCgAAAD8AAKC/AABAQAAAgEBQSwECFAMUAAAA"
    "AABRDXpdcE0/vQgAAAAIAAAACgAAAAAAAAAAAAAAgAEAAAAAcmVhZG1lLnR4dFBLAQIUAxQAAAAAAFENel02EkQWkAAAAJAAAAALAAAAAAAA"
    "AAAAAACAATAAAABkaXIveDp5Lm5weVBLBQYAAAAAAgACAHEAAADpAAAAAAA=";
const std::string kBzip2 =
    "UEsDBC4AAAAMAFENel02EkQWgwAAAJAAAAAFAAAAeC5ucHlCWmg5MUFZJlNZyCG2pQAALF/4YBBA5BUUwQNCIK9F3QpAAAgAQAAAAKAAVEU2"
    "k0A0ADQ0B6TagintUyAHqaNAAAAD+RHSXyCrTuImIRmAGcZGvs3G0LDVN0DxElJ+KxPXZpb2+PGl6XB3CkgK8XMMwE5V5hkhiPvxdyRThQkM"
    "ghtqUFBLAQIuAy4AAAAMAFENel02EkQWgwAAAJAAAAAFAAAAAAAAAAAAAACAAQAAAAB4Lm5weVBLBQYAAAAAAQABADMAAACmAAAAAAA=";

const std::vector<float> kValues = {0.5F, -1.25F, 3, 4};
const std::string kArray = npy(1, npy_dict("<f4", "(2, 2)"), float_bytes(kValues, std::endian::little));

std::string little(std::uint64_t number, unsigned bytes) {
  std::string text;
  for (unsigned i = 0; i < bytes; ++i) text += static_cast<char>(number >> 8 * i & 0xff);
  return text;
}

std::uint32_t crc_of(const std::string& bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// Deflated, without gzip's header of 10 bytes and trailer of 8.
std::string deflated(const std::string& bytes) {
  const std::string zipped = gzip(bytes);
  return zipped.substr(10, zipped.size() - 18);
}

struct Entry {
  std::string name, stored;
  std::uint64_t size = 0;
  std::uint32_t crc = 0;
  unsigned method = 0, flags = 0;
  std::int64_t longer = 0;  // how many bytes too many the directory states
};

Entry stored(const std::string& name, const std::string& bytes) { return {name, bytes, bytes.size(), crc_of(bytes)}; }
Entry compressed(const std::string& name, const std::string& bytes) {
  return {name, deflated(bytes), bytes.size(), crc_of(bytes), 8};
}

// An archive by APPNOTE.TXT. With `in_64`, all sizes are in the 64-bit fields. `count` is the stated number of entries.
std::string zip(const std::vector<Entry>& entries, bool in_64 = false, std::uint64_t count = 0) {
  const auto size = [&](std::uint64_t number) { return in_64 ? little(0xffffffff, 4) : little(number, 4); };
  std::string archive, directory;
  for (const Entry& e : entries) {
    const std::uint64_t bytes = e.stored.size() + static_cast<std::uint64_t>(e.longer);
    const std::string extra = in_64 ? "zz" + little(2, 2) + "??" + little(1, 2) + little(24, 2) + little(e.size, 8) +
                                          little(bytes, 8) + little(archive.size(), 8)
                                    : "";
    const std::string common = little(e.flags, 2) + little(e.method, 2) + little(0, 4) + little(e.crc, 4) +
                               size(bytes) + size(e.size) + little(e.name.size(), 2);
    directory += little(0x02014b50, 4) + little(45, 2) + little(45, 2) + common + little(extra.size(), 2) +
                 little(3, 2) + little(0, 8) + size(archive.size()) + e.name + extra + "hey";
    archive += little(0x04034b50, 4) + little(45, 2) + common + little(0, 2) + e.name + e.stored;
  }
  const std::uint64_t offset = archive.size(), number = count > 0 ? count : entries.size();
  archive += directory;
  if (in_64) {
    const std::uint64_t end = archive.size();
    archive += little(0x06064b50, 4) + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8) +
               little(number, 8) + little(number, 8) + little(directory.size(), 8) + little(offset, 8);
    archive += little(0x07064b50, 4) + little(0, 4) + little(end, 8) + little(1, 4);
  }
  const std::string counts = in_64 ? little(0xffff, 2) : little(number, 2);
  return archive + little(0x06054b50, 4) + little(0, 4) + counts + counts + size(directory.size()) + size(offset) +
         little(7, 2) + "comment";
}

Dataset open_array(const std::string& bytes, const std::string& name) {
  const TempDir dir;
  write(dir / "x.npz", bytes);
  return Dataset::open(dir / ("x.npz" + name), Split::train);
}

std::string array_error(const std::string& bytes, const std::string& name) {
  const std::string text = error_text([&] { open_array(bytes, name); });
  return text.substr(std::min(text.size(), text.find("x.npz") + 5));
}

TEST(Npz, WhatNumpyWrites) {
  for (const std::string name : {"", ":arr_0", ":arr_0.npy"}) {
    const Dataset set = open_array(from_base64(kSavez), name);
    EXPECT_EQ(values_of(set), kValues);
    EXPECT_TRUE(set.name().ends_with("x.npz:arr_0")) << set.name();
  }
  EXPECT_EQ(values_of(open_array(from_base64(kStreamed), "")), kValues);
  EXPECT_EQ(values_of(open_array(from_base64(kCompressed), ":weights")), kValues);
  EXPECT_EQ(values_of(open_array(from_base64(kCompressed), ":labels")), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(open_array(from_base64(kCompressed), ":labels").dtype(), DType::u8);
  EXPECT_EQ(values_of(open_array(from_base64(kForeign), ":dir/x:y")), kValues);
  EXPECT_EQ(values_of(open_array(from_base64(kForeign), "")), kValues);  // the only array, not the only member
}

TEST(Npz, NamesThatAreNotThere) {
  EXPECT_EQ(array_error(from_base64(kCompressed), ""),
            ": has several arrays: choose one by FILE.npz:NAME, its arrays are \"weights\", \"labels\"");
  EXPECT_EQ(array_error(from_base64(kCompressed), ":weight"),
            ": has no array \"weight\", its arrays are \"weights\", \"labels\"");
  EXPECT_EQ(array_error(zip({stored("data.pkl", "x")}), ""), ": a zip archive without arrays (.npy)");
  EXPECT_EQ(array_error(zip({}), ""), ": a zip archive without arrays (.npy)");
  EXPECT_EQ(array_error(kArray, ":x"), ": is not an NPZ archive and has no array \"x\"");
  EXPECT_EQ(read_error(gzip(from_base64(kSavez))),
            "a zip archive at byte 0 of the decompressed stream: unpack it from gzip first");
  std::vector<Entry> many;
  for (int i = 0; i < 12; ++i) many.push_back(stored("a" + std::to_string(i) + ".npy", kArray));
  EXPECT_TRUE(array_error(zip(many), "").ends_with("\"a9\" and 2 more"));
}

TEST(Npz, OddFileNames) {
  const TempDir dir;
  const auto values = [&](const std::string& name) { return values_of(Dataset::open(dir / name, Split::train)); };
  const std::string ones = npy(1, npy_dict("|u1", "(1, 2)"), "\1\1"), twos = npy(1, npy_dict("|u1", "(1, 2)"), "\2\2");
  write(dir / "a:b", zip({stored("x.npy", ones), stored("c:x.npy", twos)}));
  EXPECT_EQ(values("a:b:x"), (std::vector<float>{1, 1}));
  EXPECT_EQ(values("a:b:c:x"), (std::vector<float>{2, 2}));
  write(dir / "a:b:x", twos);  // a file with the whole name wins
  EXPECT_EQ(values("a:b:x"), (std::vector<float>{2, 2}));
  expect_error([&] { values("nowhere:x"); }, (dir / "nowhere:x").string() + ": cannot read");
}

TEST(Npz, StoredAndDeflatedWithSizesOf64Bits) {
  for (const bool in_64 : {false, true})
    for (const Entry& entry : {stored("x.npy", kArray), compressed("x.npy", kArray)})
      EXPECT_EQ(values_of(open_array(zip({stored("a.npy", "?"), entry, stored("b.npy", "?")}, in_64), ":x")), kValues);
}

TEST(Npz, HostileArchives) {
  const Entry good = compressed("x.npy", kArray);
  const auto error = [](Entry entry) { return array_error(zip({entry, stored("y.npy", kArray)}), ":x"); };
  const auto with = [&](auto change) {
    Entry entry = good;
    change(entry);
    return error(entry);
  };
  const std::string size = std::to_string(kArray.size());
  EXPECT_EQ(with([](Entry& e) { e.flags = 1; }), ": \"x.npy\" is encrypted");
  EXPECT_EQ(with([](Entry& e) { e.method = 14; }),
            ": \"x.npy\" is compressed by method 14, but only stored (0) and deflated (8) members are read");
  EXPECT_EQ(array_error(from_base64(kBzip2), "").substr(0, 37), ": \"x.npy\" is compressed by method 12,");
  EXPECT_EQ(with([](Entry& e) { e.crc ^= 1; }),
            ": \"x.npy\": corrupt: its checksum (CRC-32) differs from the archive's");
  EXPECT_EQ(with([](Entry& e) { e.size -= 1; }), ": \"x.npy\": corrupt: its size is not the " +
                                                     std::to_string(kArray.size() - 1) +
                                                     " bytes that the archive states");
  EXPECT_EQ(with([](Entry& e) { e.size += 1; }), ": \"x.npy\": corrupt: its size is not the " +
                                                     std::to_string(kArray.size() + 1) +
                                                     " bytes that the archive states");
  EXPECT_NE(with([](Entry& e) { e.stored += "more"; }).find("corrupt: its size is not the"), std::string::npos);
  EXPECT_NE(with([](Entry& e) { e.stored.resize(e.stored.size() / 2); }).find("truncated at byte"), std::string::npos);
  EXPECT_NE(with([](Entry& e) { e.stored[0] = '\x07'; }).find("corrupt compressed stream at byte"), std::string::npos);
  EXPECT_NE(with([](Entry& e) { e.longer = 4; }).find("\"x.npy\" overlaps the next member"), std::string::npos);
  EXPECT_NE(with([](Entry& e) { e.longer = 100000; }).find("truncated at byte"), std::string::npos);
  EXPECT_NE(array_error(zip({good}, false, 2), "").find("truncated at byte"), std::string::npos);
  EXPECT_NE(array_error(zip({good}, true, 10001), "").find("too many members at byte"), std::string::npos);
  std::string renamed = zip({good});
  renamed[30] = 'y';
  EXPECT_NE(array_error(renamed, "").find("its name differs from the directory's \"x.npy\""), std::string::npos);
  EXPECT_NE(array_error(zip({good}) + "x", "").find("no directory at byte"), std::string::npos);
}

TEST(Npz, AbsurdSizesAllocateNothing) {
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  // 256 MiB of zeros after a header that states six bytes, in archives with several stated sizes.
  const std::string array = npy(1, npy_dict("|u1", "(2, 3)"), "") + std::string(256 << 20, '\0');
  Entry bomb = compressed("x.npy", array);
  const auto before = peak_kib();
  EXPECT_NE(array_error(zip({bomb}), "").find("trailing bytes"), std::string::npos);
  bomb.size = std::uint64_t{1} << 60;
  EXPECT_NE(array_error(zip({bomb}, true), "").find("trailing bytes"), std::string::npos);
  EXPECT_LT(peak_kib() - before, 32 * 1024);
}

TEST(Npz, EveryPrefixAndEveryDamagedByteGivesOneLineOrTheValues) {
  for (const std::string& bytes : {zip({stored("x.npy", kArray)}), zip({compressed("x.npy", kArray)}, true)}) {
    for (std::size_t size = 4; size < bytes.size(); ++size)
      EXPECT_FALSE(read_error(bytes.substr(0, size)).empty()) << size;
    for (std::size_t at = 4; at < bytes.size(); ++at) {
      for (const int change : {0x01, 0x80, 0xff}) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ change);
        try {
          EXPECT_EQ(values_of(read_bytes_as_data(damaged)), kValues) << at;
        } catch (const Error& error) {
          EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
        }
      }
    }
  }
}

}  // namespace
}  // namespace cuvae::test
