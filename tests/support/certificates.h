/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A small public key infrastructure in a directory, made new at each run (EC P-256, valid for an hour):
 *   ca.pem other-ca.pem · server.pem (IP 127.0.0.1, DNS localhost) server.key · elsewhere.pem (DNS elsewhere.test) elsewhere.key
 *   expired.pem (as server.pem, over since a minute) expired.key
 *   client.pem client.key, client-bundle.pem (both in one, as the kubelet keeps them) · stranger.pem stranger.key (of other-ca)
 */

/* 0, or -1 when a file or a key could not be made. */
int certificates_make(const char *directory);
