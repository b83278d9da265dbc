#!/usr/bin/env bash
# certificates.sh DIR: the authorities and certificates that the tests' servers and clients show each other. Nothing when they are there.
#   ca, other-ca        two authorities
#   server              localhost, 127.0.0.1                     expired   the same, out of date
#   client              CN=mtlsadmin,O=kinit (Kafka's super user) other    the same name from other-ca
#   os-node, os-admin   OpenSearch's transport certificate and its admin
# NAME.key is PKCS#8 (Kafka and OpenSearch read nothing else), NAME.crt the certificate, NAME.pem both.
set -euo pipefail
dir=${1:?usage: certificates.sh DIR}
[ -e "$dir/ca.crt" ] && exit 0
work=$dir.part.$$
rm -rf "$work"
mkdir -p "$work" && cd "$work"

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256)

authority() {
  openssl req -x509 "${new_key[@]}" -days 3650 -keyout "$1.key" -out "$1.crt" -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>openssl.log
  cp "$1.crt" "$1.pem"
}

# certificate NAME SUBJECT AUTHORITY USAGE SUBJECT-ALTERNATIVES DAYS
certificate() {
  openssl req "${new_key[@]}" -keyout "$1.key" -out "$1.csr" -subj "$2" 2>openssl.log
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$4" "$5" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -sha256 -days "$6" -extfile "$1.ext" -out "$1.crt" 2>openssl.log
  cat "$1.key" "$1.crt" >"$1.pem"
}

authority ca
authority other-ca
certificate server /CN=localhost ca serverAuth DNS:localhost,IP:127.0.0.1 3650
certificate expired /CN=localhost ca serverAuth DNS:localhost,IP:127.0.0.1 -1
certificate client /O=kinit/CN=mtlsadmin ca clientAuth DNS:mtlsadmin 3650
certificate other /O=kinit/CN=mtlsadmin other-ca clientAuth DNS:mtlsadmin 3650
certificate os-node /CN=node ca serverAuth,clientAuth DNS:localhost,IP:127.0.0.1 3650
certificate os-admin /CN=admin ca clientAuth DNS:admin 3650
rm -f ./*.csr ./*.ext ./*.srl openssl.log
rm -rf "$dir"
mv "$work" "$dir"
