/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include "common/cleanup.h"

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static void identity_deinit(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

#define CLEANUP_IDENTITY CLEANUP(identity_deinit)

static bool add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX context;
    bool added;

    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    added = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

#define HOUR_SEC 3600L

/* issuer NULL: self-signed, an authority. Valid from an hour and a minute before `until_sec` from now. */
static int identity_make_until(struct identity *ret, const char *name, const struct identity *issuer,
    const char *alt_names, long until_sec)
{
    static long serial = 1;
    X509 *certificate = X509_new();
    X509_NAME *subject;
    bool good;

    ret->certificate = certificate;
    ret->key = EVP_EC_gen("P-256");
    if (!certificate || !ret->key)
        return -1;
    subject = X509_get_subject_name(certificate);
    good = X509_set_version(certificate, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), until_sec - HOUR_SEC - 60) &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), until_sec) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) ==
               1 &&
           X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer->certificate) : subject) ==
               1 &&
           X509_set_pubkey(certificate, ret->key) == 1 &&
           add_extension(
               certificate, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
           (!alt_names || add_extension(certificate, NID_subject_alt_name, alt_names)) &&
           X509_sign(certificate, issuer ? issuer->key : ret->key, EVP_sha256()) > 0;
    return good ? 0 : -1;
}

static int identity_make(
    struct identity *ret, const char *name, const struct identity *issuer, const char *alt_names)
{
    return identity_make_until(ret, name, issuer, alt_names, HOUR_SEC);
}

/* Either part may be left out. */
static int write_pem(const char *directory, const char *name, X509 *certificate, EVP_PKEY *key)
{
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FILE FILE *file = NULL;

    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        path = NULL;
        return -1;
    }
    file = fopen(path, "we");
    if (!file || (certificate && PEM_write_X509(file, certificate) != 1) ||
        (key && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1))
        return -1;
    return fflush(file) == 0 ? 0 : -1;
}

int certificates_make(const char *directory)
{
    CLEANUP_IDENTITY struct identity ca = {0}, other = {0}, server = {0}, elsewhere = {0}, client = {0},
                                     stranger = {0}, expired = {0};

    if (identity_make(&ca, "podkin test authority", NULL, NULL) < 0 ||
        identity_make(&other, "some other authority", NULL, NULL) < 0 ||
        identity_make(&server, "kubelet", &ca, "IP:127.0.0.1,DNS:localhost") < 0 ||
        identity_make_until(&expired, "kubelet", &ca, "IP:127.0.0.1,DNS:localhost", -60) < 0 ||
        identity_make(&elsewhere, "elsewhere", &ca, "DNS:elsewhere.test") < 0 ||
        identity_make(&client, "system:node:test", &ca, NULL) < 0 ||
        identity_make(&stranger, "stranger", &other, NULL) < 0)
        return -1;
    if (write_pem(directory, "ca.pem", ca.certificate, NULL) < 0 ||
        write_pem(directory, "other-ca.pem", other.certificate, NULL) < 0 ||
        write_pem(directory, "server.pem", server.certificate, NULL) < 0 ||
        write_pem(directory, "server.key", NULL, server.key) < 0 ||
        write_pem(directory, "expired.pem", expired.certificate, NULL) < 0 ||
        write_pem(directory, "expired.key", NULL, expired.key) < 0 ||
        write_pem(directory, "elsewhere.pem", elsewhere.certificate, NULL) < 0 ||
        write_pem(directory, "elsewhere.key", NULL, elsewhere.key) < 0 ||
        write_pem(directory, "client.pem", client.certificate, NULL) < 0 ||
        write_pem(directory, "client.key", NULL, client.key) < 0 ||
        write_pem(directory, "client-bundle.pem", client.certificate, client.key) < 0 ||
        write_pem(directory, "stranger.pem", stranger.certificate, NULL) < 0 ||
        write_pem(directory, "stranger.key", NULL, stranger.key) < 0)
        return -1;
    return 0;
}
