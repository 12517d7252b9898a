#include "core/dag/patterns.h"

#include <gtest/gtest.h>

#include "dagger/plugin/error.h"

namespace dagger::dag {
namespace {

using Lines = std::vector<std::string>;

struct Case {
  const char* pattern;
  const char* path;
  bool selected;
};

// One pattern as an include list. The first part follows the table of moby/patternmatcher.
constexpr Case cases[] = {
    {"**", "file", true},
    {"**/", "file", true},
    {"**", "dir/file", true},
    {"**/", "dir/file", true},
    {"**/**", "dir/file", true},
    {"dir/**", "dir/file", true},
    {"dir/**", "dir/dir2/file", true},
    {"dir/**", "dir", false},
    {"dir/**", "dirfile", false},
    {"**/dir", "dir", true},
    {"**/dir", "dir/file", true},
    {"**/dir", "a/dir/file", true},
    {"**/dir", "adir", false},
    {"**/dir2/*", "dir/dir2/file", true},
    {"**/dir2/*", "dir/dir2", false},
    {"**/dir2/**", "dir/dir2/dir3/file", true},
    {"**file", "file", true},
    {"**file", "dir/file", true},
    {"**file", "dir/afile", true},
    {"**file", "dir/dir/file", true},
    {"**file", "file.txt", false},
    {"**/file", "dir/file", true},
    {"**/file", "dir/dir/file", true},
    {"**/file", "dir/afile", false},
    {"**/file*", "dir/dir/file", true},
    {"**/file*", "dir/dir/file.txt", true},
    {"**/file*txt", "dir/dir/file.txt", true},
    {"**/file*.txt", "dir/dir/file.txt", true},
    {"**/file*.txt*", "dir/dir/file.txt", true},
    {"**file*.txt", "dir/afile.txt", false},
    {"**/**/*.txt", "dir/dir/file.txt", true},
    {"**/**/*.txt2", "dir/dir/file.txt", false},
    {"**/*.txt", "file.txt", true},
    {"**/**/*.txt", "file.txt", true},
    {"a**/*.txt", "a/file.txt", true},
    {"a**/*.txt", "a/dir/file.txt", true},
    {"a**/*.txt", "a/dir/dir/file.txt", true},
    {"a/*.txt", "a/dir/file.txt", false},
    {"a/*.txt", "a/file.txt", true},
    {"a/*.txt**", "a/file.txt", true},
    {"a[b-d]e", "ae", false},
    {"a[b-d]e", "ace", true},
    {"a[b-d]e", "aae", false},
    {"a[^b-d]e", "aze", true},
    {"a[^b-d]e", "ace", false},
    {".*", ".foo", true},
    {".*", "foo", false},
    {"abc.def", "abcdef", false},
    {"abc.def", "abc.def", true},
    {"abc.def", "abcZdef", false},
    {"abc?def", "abcZdef", true},
    {"abc?def", "abcdef", false},
    {"a\\\\", "a\\", true},
    {"a\\*b", "a*b", true},
    {"a\\*b", "axb", false},
    {"a\\b", "ab", true},
    {"**/foo/bar", "foo/bar", true},
    {"**/foo/bar", "dir/foo/bar", true},
    {"**/foo/bar", "dir/dir2/foo/bar", true},
    {"abc/**", "abc", false},
    {"abc/**", "abc/def", true},
    {"abc/**", "abc/def/ghi", true},
    {"abc**", "abcdef/ghi", true},
    {"**/.foo", ".foo", true},
    {"**/.foo", "bar.foo", false},
    {"a(b)c/def", "a(b)c/def", true},
    {"a(b)c/def", "a(b)c/xyz", false},
    {"a.|)$(}+{bc", "a.|)$(}+{bc", true},
    {"dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
     true},
    {"dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true},
    // anchoring, cleaning, parents
    {"*.rar", "a.rar", true},
    {"*.rar", "subdir/f.rar", false},
    {"subdir", "subdir/a/b", true},
    {"subdir", "x/subdir", false},
    {"/subdir", "subdir/a", true},
    {"./subdir/", "subdir/a", true},
    {"a//b/./c", "a/b/c", true},
    {"a/../b", "b", true},
    {"../b", "b", false},
    {"/../b", "b", true},
    {".", "b", false},
    {"  b\t", "b", true},
    {"*", "a/b/c", true},
    {"*/*", "a", false},
    {"*/*", "a/b/c", true},
    {"?", "\xc3\xa9", true},  // one letter, two bytes
    {"??", "\xc3\xa9", false},
    {"[\xc3\xa0-\xc3\xbf]x", "\xc3\xa9x", true},
    {"\xff*",
     "\xff"
     "a",
     true},
    {"?", "\xff", true},
    {"[^a]", "b", true},
    {"x[^a]y", "x/y", false},
};

TEST(Patterns, FollowTheTableOfDockerignore) {
  for (const auto& c : cases) {
    EXPECT_EQ(Patterns({c.pattern}, {}).selects(c.path), c.selected) << c.pattern << " on " << c.path;
    EXPECT_EQ(!Patterns({}, {c.pattern}).selects(c.path), c.selected) << "exclude " << c.pattern << " on " << c.path;
  }
}

struct ListCase {
  Lines include, exclude;
  const char* path;
  bool selected;
};

TEST(Patterns, CombineIncludeExcludeAndExceptions) {
  const ListCase lists[] = {
      {{}, {}, "anything/at/all", true},
      {{"*.rar"}, {}, "x.txt", false},
      {{}, {"*.rar"}, "subdir/f.txt.rar", true},
      {{"a"}, {"a/b"}, "a/b/c", false},
      {{"a"}, {"a/b"}, "a/c", true},
      {{"a"}, {"a"}, "a", false},
      {{"a/b"}, {"a"}, "a/b", false},
      {{}, {"a", "!a/b"}, "a/b", true},
      {{}, {"a", "!a/b"}, "a/b/c", true},
      {{}, {"a", "!a/b"}, "a/c", false},
      {{}, {"!a/b", "a"}, "a/b", false},
      {{}, {"a", "!a/b", "a/b/c"}, "a/b/c/d", false},
      {{}, {"*", "!b.txt"}, "b.txt", true},
      {{}, {"**", "!dir/keep"}, "dir/keep/x", true},
      {{}, {"**", "!dir/keep"}, "dir/x", false},
      {{"**", "!**/*.o"}, {}, "a/b.o", false},
      {{"**", "!**/*.o"}, {}, "a/b.c", true},
      {{"!a"}, {}, "b", false},
      {{"", " "}, {}, "b", true},
      {{"a", "b"}, {"", "b"}, "b", false},
      {{"src/**/*.cc"}, {"**/gen"}, "src/x/gen/y.cc", false},
      {{"src/**/*.cc"}, {"**/gen"}, "src/y.cc", true},
      {{}, {"! a"}, "a", true},
  };
  for (const auto& c : lists)
    EXPECT_EQ(Patterns(c.include, c.exclude).selects(c.path), c.selected)
        << testing::PrintToString(c.include) << testing::PrintToString(c.exclude) << c.path;
}

TEST(Patterns, SkipDirectoriesInWhichNothingCanBeSelected) {
  const struct {
    Lines include, exclude;
    const char* dir;
    Verdict verdict;
  } dirs[] = {
      {{}, {}, "a", Verdict::selected},
      {{"a/b"}, {}, "a", Verdict::passing},
      {{"a/b"}, {}, "c", Verdict::pruned},
      {{"ab"}, {}, "a", Verdict::pruned},
      {{"a/b"}, {}, "a/b", Verdict::selected},
      {{"*.rar"}, {}, "a", Verdict::pruned},
      {{"**/*.rar"}, {}, "a", Verdict::passing},
      {{"*/x"}, {}, "a", Verdict::passing},
      {{"*/x"}, {}, "a/b", Verdict::pruned},
      {{"a*/x"}, {}, "ba", Verdict::pruned},
      {{}, {"a"}, "a", Verdict::pruned},
      {{}, {"a", "!a/b"}, "a", Verdict::passing},
      {{}, {"a", "!c"}, "a", Verdict::pruned},
      {{}, {"!a/b", "a"}, "a", Verdict::pruned},
      {{}, {"*", "!**/x"}, "a", Verdict::passing},
      {{"a", "!a"}, {}, "a", Verdict::pruned},
      {{"a", "!a", "a/b"}, {}, "a", Verdict::passing},
      {{"a/b"}, {"a"}, "a", Verdict::pruned},
      {{"a/**"}, {}, "a", Verdict::passing},
  };
  for (const auto& c : dirs)
    EXPECT_EQ(Patterns(c.include, c.exclude).check(c.dir, true, {}), c.verdict)
        << testing::PrintToString(c.include) << testing::PrintToString(c.exclude) << c.dir;
}

TEST(Patterns, HandOnToAWalkWhatCoversADirectory) {
  const Patterns patterns({"a"}, {"a/b", "!a/b/c"});
  Patterns::Covered in_a, in_b, in_c;
  EXPECT_EQ(patterns.check("a", true, {}, &in_a), Verdict::selected);
  EXPECT_EQ(patterns.check("a/b", true, in_a, &in_b), Verdict::passing);
  EXPECT_EQ(patterns.check("a/b/x", false, in_b), Verdict::pruned);
  EXPECT_EQ(patterns.check("a/b/c", true, in_b, &in_c), Verdict::selected);
  EXPECT_EQ(patterns.check("a/b/c/x", false, in_c), Verdict::selected);
}

TEST(Patterns, RefuseMalformedOnes) {
  for (const char* bad : {"[", "[]", "[]a]", "a[", "[a", "[a-", "[a-]", "[-a]", "[^]", "a\\", "[\\", "[a\\", "!"})
    EXPECT_THROW(Patterns({bad}, {}), Error) << bad;
  EXPECT_THROW(Patterns({std::string(5000, 'a')}, {}), Error);
  EXPECT_THROW(Patterns(Lines(10'001, "a"), {}), Error);
}

TEST(Patterns, TakeLinearTimeOnHostileInput) {
  std::string pattern, path(500, 'a');
  for (int i = 0; i < 400; ++i) pattern += "**/*a*?";
  EXPECT_FALSE(Glob(pattern + "b").matches(path));
}

TEST(Glob, MatchesWholePathsOnly) {
  EXPECT_TRUE(Glob("**/*.md").matches("foo/bar.md"));
  EXPECT_TRUE(Glob("**/*.md").matches("foo/bar.md/x.md"));
  EXPECT_FALSE(Glob("**/*.md").matches("foo/bar.md/y.go"));
  EXPECT_TRUE(Glob("*.md").matches("test.md"));
  EXPECT_FALSE(Glob("*.md").matches("a/test.md"));
  EXPECT_TRUE(Glob("**/*").matches("a/b/c"));
}

}  // namespace
}  // namespace dagger::dag
