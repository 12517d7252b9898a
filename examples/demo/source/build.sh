# Runs in the container, in a copy of this directory; what it writes never touches the host.
echo "built by $(id -un) on $(uname -s), from a $(cat /etc/image-note) image, with these files:"
ls -l
mkdir -p out
wc -w < words.txt > out/report.txt
