#!/bin/sh
# Makes the certificates beside this script: for the example and the benchmarks only, their keys are public.
# The key of the authority is thrown away, so to change one certificate is to make all of them again.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/ca.cnf" <<CNF
[req]
distinguished_name = none
[none]
[ca]
default_ca = this
[this]
certificate = ca.pem
private_key = $work/ca.key
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[server]
basicConstraints = CA:false
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
[client]
basicConstraints = CA:false
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
CNF
touch "$work/index"

request() { # key, name
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1" -subj "/CN=$2" \
        -config "$work/ca.cnf" -out "$work/request"
}

sign() { # certificate, its extensions, further options
    out=$1 extensions=$2
    shift 2
    openssl ca -batch -notext -config "$work/ca.cnf" -extensions "$extensions" -in "$work/request" -out "$out" "$@"
}

request "$work/ca.key" "Test authority"
sign ca.pem authority -selfsign
for name in server server2; do
    request $name.key localhost
    sign $name.pem server
done
request client.key "A client"
sign client.pem client
