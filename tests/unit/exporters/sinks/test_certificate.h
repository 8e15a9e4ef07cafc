#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace braid::test {

// A fresh self-signed certificate for `names` (as in "DNS:localhost,IP:127.0.0.1"), valid for an hour, in
// PEM.
struct TestCertificate {
  std::string certificate;
  std::string key;

  explicit TestCertificate(const std::string& names) {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> x509(X509_new(), X509_free);
    X509_set_version(x509.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3600);
    X509_NAME* name = X509_get_subject_name(x509.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1,
                               -1, 0);
    X509_set_issuer_name(x509.get(), name);
    X509_set_pubkey(x509.get(), pair.get());
    for (const auto& [nid, value] :
         {std::pair{NID_subject_alt_name, names}, {NID_basic_constraints, std::string("CA:TRUE")}}) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
      X509_add_ext(x509.get(), extension, -1);
      X509_EXTENSION_free(extension);
    }
    EXPECT_GT(X509_sign(x509.get(), pair.get(), EVP_sha256()), 0);
    certificate = Pem([&](BIO* bio) { PEM_write_bio_X509(bio, x509.get()); });
    key = Pem(
        [&](BIO* bio) { PEM_write_bio_PrivateKey(bio, pair.get(), nullptr, nullptr, 0, nullptr, nullptr); });
  }

 private:
  template <typename Write>
  static std::string Pem(Write write) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
    write(bio.get());
    std::string text(BIO_ctrl_pending(bio.get()), '\0');
    BIO_read(bio.get(), text.data(), static_cast<int>(text.size()));
    return text;
  }
};

}  // namespace braid::test
