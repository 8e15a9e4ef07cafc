#include "gateway/replay/record_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/replay/recording.h"

namespace braid::gateway {
namespace {

using ::testing::HasSubstr;
using testing::Recording;

// Scenario: three records, one of them empty.
// Guarantees: all come back as they were written, in order.
TEST(RecordFileTest, ReadsWhatWasWritten) {
  Recording recording;
  recording.Add(Signal::kLogs, 5, "first").Add(Signal::kTraces, 3, "").Add(Signal::kMetrics, 9, "third");
  const auto file = RecordFile::Open(recording.path());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  ASSERT_EQ(file->entries().size(), 3u);
  EXPECT_EQ(file->entries()[0].signal, Signal::kLogs);
  EXPECT_EQ(file->entries()[0].event_ns, 5u);
  EXPECT_EQ(file->Read(file->entries()[0]).value(), "first");
  EXPECT_EQ(file->Read(file->entries()[1]).value(), "");
  EXPECT_EQ(file->Read(file->entries()[2]).value(), "third");
  EXPECT_EQ(file->entries()[2].signal, Signal::kMetrics);
}

// Scenario: a file with nothing but its beginning.
// Guarantees: it is a recording of nothing, not an error.
TEST(RecordFileTest, MayBeEmpty) {
  const Recording recording;
  const auto file = RecordFile::Open(recording.path());
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->entries().empty());
}

// Scenario: a recording cut off at every byte after its first record.
// Guarantees: only a cut between records is accepted; every other one is located.
TEST(RecordFileTest, LocatesEveryTruncation) {
  Recording recording;
  recording.Add(Signal::kLogs, 5, "first");
  const size_t between = recording.bytes().size();
  recording.Add(Signal::kTraces, 6, "second");
  const std::string whole = recording.bytes();
  for (size_t size = between; size < whole.size(); ++size) {
    recording.bytes() = whole.substr(0, size);
    recording.Write();
    const auto file = RecordFile::Open(recording.path());
    EXPECT_EQ(file.ok(), size == between) << size;
    if (size == between) continue;
    EXPECT_THAT(file.status().message(), HasSubstr("record 2 at byte " + std::to_string(between) + ": "));
  }
}

// Scenario: a length of 4 GiB - 1, a signal 7, padding that is not zero, a wrong beginning, no file, a
// folder. Guarantees: each is refused, without taking the memory, by a message that says what is wrong and
// where.
TEST(RecordFileTest, RefusesWithALocation) {
  const auto error = [](const std::string& path) {
    const auto file = RecordFile::Open(path);
    return file.ok() ? std::string("accepted") : file.status().message();
  };
  Recording recording;
  recording.Add(Signal::kLogs, 5, "first");
  const std::string good = recording.bytes();
  const auto with = [&](size_t at, char byte) {
    recording.bytes() = good;
    recording.bytes()[at] = byte;
    recording.Write();
    return error(recording.path());
  };

  recording.bytes().replace(8, 4, "\xff\xff\xff\xff");
  recording.Write();
  EXPECT_EQ(error(recording.path()),
            recording.path() + ": record 1 at byte 8: length 4294967295 runs past the end");
  EXPECT_THAT(with(12, 7), HasSubstr("record 1 at byte 8: signal 7 is none of"));
  for (size_t at = 13; at < 20; ++at)
    EXPECT_THAT(with(at, 1), HasSubstr("record 1 at byte 8: the seven bytes")) << at;
  EXPECT_THAT(with(7, '2'), HasSubstr("does not begin with BRDOTLP1"));
  EXPECT_THAT(error(recording.path() + ".none"), HasSubstr("No such file"));
  EXPECT_THAT(error("/"), HasSubstr("not a regular file"));
}

// Scenario: a record longer than any request may be, in a file that really is that long.
// Guarantees: it is refused by its length.
TEST(RecordFileTest, RefusesOversizedRecords) {
  Recording recording;
  recording.Add(Signal::kLogs, 5, std::string(RecordFile::kMaxRequest + size_t{1}, 'x'));
  EXPECT_THAT(RecordFile::Open(recording.path()).status().message(),
              HasSubstr("is more than a request may have"));
}

}  // namespace
}  // namespace braid::gateway
