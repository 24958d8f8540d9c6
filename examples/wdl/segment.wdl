version 1.1

# Segment an archive in parts, then merge them. The archive is a zip, because a WDL 1.1 input is a file, not a folder.

workflow segment_archive {
    input {
        File archive          # zip with the images
        Int parts = 4         # how many tasks
        String options = ""   # further options of prostate-seg segment
        String image          # container in which prostate-seg is installed
    }

    scatter (index in range(parts)) {
        call segment { input: archive, part = index + 1, parts, options, image }
    }
    call merge { input: results = segment.results, image }

    output {
        File cases = merge.cases
        File summary = merge.summary
        File? review = merge.review
    }
}

task segment {
    input {
        File archive
        Int part
        Int parts
        String options
        String image
        Int cpus = 4
    }

    # A case that fails does not stop the workflow: the record of the part names it, and the merge tells it. A part
    # that was killed has not attempted all its cases: its record is not complete, and the task is retried.
    command <<<
        set -euo pipefail
        export OMP_NUM_THREADS=~{cpus}
        prostate-seg segment "~{archive}" -o "part-~{part}" --part "~{part}/~{parts}" ~{options} \
            || grep -q '"complete": true' "part-~{part}/part-~{part}-of-~{parts}.json"
        tar -cf part.tar "part-~{part}"
    >>>

    output {
        File results = "part.tar"
    }

    runtime {
        container: image
        cpu: cpus
        memory: "8 GB"
        maxRetries: 2
    }
}

task merge {
    input {
        Array[File] results
        String image
    }

    command <<<
        set -euo pipefail
        for results in ~{sep(" ", quote(results))}; do
            tar -xf "$results"
        done
        prostate-seg merge part-* -o all || test -f all/merged.json
        tar -cf all.tar all
    >>>

    output {
        File cases = "all.tar"
        File summary = "all/merged.json"
        File? review = "all/review.html"
    }

    runtime {
        container: image
        cpu: 1
        memory: "4 GB"
    }
}
