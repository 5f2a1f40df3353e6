#!/usr/bin/env bash
# Starts munge and a SLURM of one node, this machine, as root.
#
# Command: tests/slurm/start.sh DIR PORT PORT
# All files are below DIR; DIR/slurm.conf is what SLURM_CONF has to name.
set -euo pipefail

here=$1
node=$(hostname -s)
mkdir -p "$here"/{state,spool,log}
export SLURM_CONF=$here/slurm.conf
head -c 1024 /dev/urandom > "$here/munge.key"
chmod 600 "$here/munge.key"
cat > "$SLURM_CONF" << CONF
ClusterName=one
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$2
SlurmdPort=$3
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$here/munge.socket
CredType=cred/munge
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/spool
SlurmctldLogFile=$here/log/slurmctld
SlurmdLogFile=$here/log/slurmd
SlurmctldPidFile=$here/slurmctld.pid
SlurmdPidFile=$here/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF

munged --force --key-file="$here/munge.key" --socket="$here/munge.socket" \
  --pid-file="$here/munge.pid" --log-file="$here/log/munge" \
  --seed-file="$here/munge.seed"
slurmctld -c
slurmd
for _ in {1..100}; do
  if sinfo -h -o %t | grep -q idle; then exit; fi
  sleep 0.1
done
echo "SLURM has no idle node after 10 s; see $here/log" >&2
exit 1
