// TLS on the server's port: ALPN, client certificates, stalled handshakes.

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>

#include "tests/integration/hostile/test_server.h"

namespace braid::hostile {
namespace {

using testing::HasSubstr;

// A key and a certificate for it, signed by `issuer` (or itself), in files of a temporary directory.
class TestIdentity {
 public:
  TestIdentity(const std::filesystem::path& folder, const std::string& name,
               const TestIdentity* issuer = nullptr) {
    key_ = EVP_EC_gen("P-256");
    certificate_ = X509_new();
    X509_set_version(certificate_, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_), static_cast<long>(name.size()) + 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate_), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate_), 3600);
    X509_set_pubkey(certificate_, key_);
    X509_NAME* subject = X509_get_subject_name(certificate_);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate_, issuer ? X509_get_subject_name(issuer->certificate_) : subject);
    if (issuer == nullptr) {
      X509_EXTENSION* ca = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
      X509_add_ext(certificate_, ca, -1);
      X509_EXTENSION_free(ca);
    }
    X509_sign(certificate_, issuer ? issuer->key_ : key_, EVP_sha256());
    certificate_file = folder / (name + ".pem");
    key_file = folder / (name + ".key");
    std::FILE* file = std::fopen(certificate_file.c_str(), "w");
    PEM_write_X509(file, certificate_);
    std::fclose(file);
    file = std::fopen(key_file.c_str(), "w");
    PEM_write_PrivateKey(file, key_, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }
  ~TestIdentity() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  TestIdentity(const TestIdentity&) = delete;
  TestIdentity& operator=(const TestIdentity&) = delete;

  std::string certificate_file;
  std::string key_file;

 private:
  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = nullptr;
};

class SubjectHandler : public ingest::Handler {
 public:
  void Handle(ingest::Request request, ingest::Responder responder) override {
    if (request.grpc) return responder.Reply(ingest::GrpcOk(std::string(request.body.view())));
    ingest::Response response;
    response.body = request.peer->certificate_subject + (request.peer->tls ? " tls" : "") +
                    (request.peer->loopback ? " loopback " : " ") + std::to_string(request.body.size());
    responder.Reply(std::move(response));
  }
};

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    folder_ = std::filesystem::temp_directory_path() / ("braid_tls_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    ca_ = std::make_unique<TestIdentity>(folder_, "ca");
    server_id_ = std::make_unique<TestIdentity>(folder_, "server", ca_.get());
    client_id_ = std::make_unique<TestIdentity>(folder_, "client-7", ca_.get());
    stranger_ = std::make_unique<TestIdentity>(folder_, "stranger");
  }
  ~TlsTest() override { std::filesystem::remove_all(folder_); }

  void Start(bool client_ca, milliseconds handshake_timeout = seconds(5)) {
    ingest::HttpServer::Options options;
    options.tls = ingest::HttpServer::Tls{server_id_->certificate_file, server_id_->key_file,
                                          client_ca ? ca_->certificate_file : ""};
    options.tls_handshake_timeout = handshake_timeout;
    server_ = std::make_unique<TestServer>(&handler_, options);
    ASSERT_TRUE(server_->start.ok()) << server_->start.ToString();
  }

  std::filesystem::path folder_;
  std::unique_ptr<TestIdentity> ca_, server_id_, client_id_, stranger_;
  SubjectHandler handler_;
  std::unique_ptr<TestServer> server_;
};

// Scenario: HTTP/1.1 and HTTP/2 by ALPN, with bodies larger than any TLS record or buffer.
// Guarantees: both are served, whole.
TEST_F(TlsTest, AlpnPicksTheProtocol) {
  Start(false);
  Wire h1(server_->port());
  ASSERT_TRUE(h1.StartTls("\x08http/1.1"));
  EXPECT_EQ(h1.Alpn(), "http/1.1");
  for (const size_t size : {10u, 100'000u, 3'000'000u}) {
    EXPECT_EQ(Exchange(h1, Post("/", std::string(size, 'x'))).body, " tls loopback " + std::to_string(size));
  }
  Wire plain_alpn(server_->port());
  ASSERT_TRUE(plain_alpn.StartTls(""));
  EXPECT_EQ(Exchange(plain_alpn, Post("/", "x")).status, 200);

  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.StartTls("\x02h2\x08http/1.1"));
  EXPECT_EQ(h2.Alpn(), "h2");
  ASSERT_TRUE(h2.Open());
  const std::string message = GrpcMessage(std::string(2'000'000, 'm'));
  EXPECT_EQ(h2.Await(h2.GrpcCall("/a/b", message)).body, message);
}

// Scenario: a client CA is required; clients with its certificate, with another's, with none.
// Guarantees: only the first gets in, and is known by its subject.
TEST_F(TlsTest, ClientCertificates) {
  Start(true);
  Wire known(server_->port());
  ASSERT_TRUE(known.StartTls("", client_id_->certificate_file, client_id_->key_file));
  EXPECT_EQ(Exchange(known, Post("/", "x")).body, "CN=client-7 tls loopback 1");

  // TLS 1.3 tells the client only after its own last word.
  Wire nobody(server_->port());
  if (nobody.StartTls("")) nobody.Send(Post("/", "x"));
  EXPECT_EQ(nobody.Read(seconds(5)), "");
  Wire stranger(server_->port());
  if (stranger.StartTls("", stranger_->certificate_file, stranger_->key_file)) stranger.Send(Post("/", "x"));
  EXPECT_EQ(stranger.Read(seconds(5)), "");
  EXPECT_TRUE(Eventually([&] { return server_->stats().tls_failures == 2; }));
}

// Scenario: clients that never finish, or never begin, their handshake, or speak no TLS.
// Guarantees: closed at the time-out or at once, counted; others are served.
TEST_F(TlsTest, StalledHandshakes) {
  Start(false, milliseconds(300));
  std::vector<std::unique_ptr<Wire>> stalled;
  for (int i = 0; i < 20; ++i) {
    stalled.push_back(std::make_unique<Wire>(server_->port()));
    if (i % 2 == 0) stalled.back()->Send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  }
  Wire plain(server_->port());
  plain.Send(Post("/", "x"));
  Wire good(server_->port());
  ASSERT_TRUE(good.StartTls(""));
  EXPECT_EQ(Exchange(good, Post("/", "x")).status, 200);
  for (auto& wire : stalled) wire->ReadToEnd();
  plain.ReadToEnd();
  EXPECT_TRUE(Eventually([&] { return server_->stats().connections_open == 1; }));
  EXPECT_EQ(server_->stats().tls_failures, 21u);
}

// Scenario: certificate and key that do not belong together.
// Guarantees: Start() says so.
TEST_F(TlsTest, MismatchedKey) {
  ingest::HttpServer::Options options;
  options.tls = ingest::HttpServer::Tls{server_id_->certificate_file, client_id_->key_file, ""};
  TestServer server(&handler_, options);
  EXPECT_EQ(server.start.code(), Code::kInvalidArgument);
  EXPECT_THAT(server.start.message(), HasSubstr(client_id_->key_file));
}

}  // namespace
}  // namespace braid::hostile
