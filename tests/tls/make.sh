#!/bin/sh
# Makes the certificates beside this script: for tests and the example only, their keys are public.
# The keys of the authorities are thrown away, so to change one certificate is to make all of them again.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/ca.cnf" <<CNF
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
CNF
touch "$work/index"

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }

authority() { # file, name
    key "$work/$1.key"
    openssl req -x509 -new -key "$work/$1.key" -subj "/CN=$2" -days 36500 -config "$work/ca.cnf" \
        -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign -out "$1.pem"
}

certificate() { # authority, file, name, extensions, end
    key "$2.key"
    openssl req -new -key "$2.key" -subj "/CN=$3" -config "$work/ca.cnf" -out "$work/$2.csr"
    printf '%s\nbasicConstraints = CA:false\nkeyUsage = digitalSignature\n' "$4" > "$work/$2.ext"
    openssl ca -batch -notext -config "$work/ca.cnf" -cert "$1.pem" -keyfile "$work/$1.key" \
        -in "$work/$2.csr" -extfile "$work/$2.ext" -startdate 20200101000000Z -enddate "$5" -out "$2.pem"
}

for_host='subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
extendedKeyUsage = serverAuth'
for_client='extendedKeyUsage = clientAuth'
long=21200101000000Z

authority ca "Test authority"
authority other-ca "Another authority"
certificate ca server localhost "$for_host" $long
certificate ca server2 localhost "$for_host" $long
certificate ca client "A client" "$for_client" $long
certificate other-ca stranger "A stranger" "$for_client" $long
certificate ca elsewhere elsewhere.example "subjectAltName = DNS:elsewhere.example
extendedKeyUsage = serverAuth" $long
certificate ca expired localhost "$for_host" 20210101000000Z

key self-signed.key
openssl req -new -key self-signed.key -subj "/CN=localhost" -config "$work/ca.cnf" -out "$work/self-signed.csr"
printf '%s\nbasicConstraints = CA:false\n' "$for_host" > "$work/self-signed.ext"
openssl ca -batch -notext -config "$work/ca.cnf" -selfsign -keyfile self-signed.key -in "$work/self-signed.csr" \
    -extfile "$work/self-signed.ext" -startdate 20200101000000Z -enddate $long -out self-signed.pem
