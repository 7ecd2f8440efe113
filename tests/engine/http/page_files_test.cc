#include "engine/http/page/page_files.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pfsync::engine::http {
namespace {

TEST(PageFiles, EachIsServedUnderItsNameWithAnEtagOfItsOwn) {
  std::set<std::string_view> paths, etags;
  for (const PageFile& file : page_files()) {
    EXPECT_TRUE(file.path.starts_with('/'));
    EXPECT_TRUE(paths.insert(file.path).second) << file.path;
    EXPECT_FALSE(file.bytes.empty()) << file.path;
    EXPECT_EQ(file.etag.size(), 34u);
    EXPECT_TRUE(file.etag.starts_with('"') && file.etag.ends_with('"'));
    etags.insert(file.etag);
  }
  EXPECT_EQ(etags.size() + 1, paths.size());  // "/" and "/index.html" are one file
  ASSERT_NE(page_file("/"), nullptr);
  EXPECT_EQ(page_file("/")->bytes, page_file("/index.html")->bytes);
  EXPECT_EQ(page_file("/")->content_type, "text/html; charset=utf-8");
  EXPECT_TRUE(page_file("/")->bytes.ends_with("</html>\n"));
  EXPECT_EQ(page_file("/page.js")->content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(page_file("/nothing"), nullptr);
}

/// What a strict content security policy would refuse, and ways by which text from the network becomes markup.
TEST(PageFiles, KeepTheContentSecurityPolicy) {
  for (const PageFile& file : page_files()) {
    for (const char* forbidden :
         {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
          "javascript:", "style=", "<style", "onclick=", "onload=", "@import", "url(http", "setAttribute(\"style\""})
      EXPECT_EQ(file.bytes.find(forbidden), std::string_view::npos) << file.path << " holds " << forbidden;
    // No other host is named but the one that names SVG's elements, which nobody asks for anything.
    const std::string_view name_of_svg = "http://www.w3.org/2000/svg";
    for (std::size_t at = 0; (at = file.bytes.find("://", at)) != std::string_view::npos; at += 3) {
      EXPECT_TRUE(at >= 4 && file.bytes.substr(at - 4, name_of_svg.size()) == name_of_svg)
          << file.path << " names another host";
    }
  }
}

/// All that the page's files name is served.
TEST(PageFiles, NameOnlyOneAnother) {
  for (const PageFile& file : page_files())
    for (const char* before : {"from \"", "href=\"/", "src=\"/"})
      for (std::size_t at = 0; (at = file.bytes.find(before, at)) != std::string_view::npos;) {
        at += std::string_view{before}.size();
        std::string path{file.bytes.substr(at, file.bytes.find('"', at) - at)};
        if (path.starts_with("./")) path.erase(0, 1);
        if (!path.starts_with('/')) path.insert(0, 1, '/');
        EXPECT_NE(page_file(path), nullptr) << file.path << " names " << path;
      }
}

}  // namespace
}  // namespace pfsync::engine::http
