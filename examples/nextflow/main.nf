// Segment an archive in parts, then merge them.
//
//   nextflow run main.nf --archive ARCHIVE --parts 16 --outdir RESULTS
//
// Each part has a folder of its own; the merge copies all cases into RESULTS/all.

params.archive = null    // folder or zip with the images
params.parts = 4         // how many tasks
params.outdir = 'results'
params.options = ''      // further options of prostate-seg segment, such as '--device cuda'

process SEGMENT {
    tag "part ${part} of ${params.parts}"
    cpus 4
    memory '8 GB'
    errorStrategy 'retry'
    maxRetries 2

    input:
    tuple val(part), path(archive)

    output:
    path "part-${part}"

    // A case that fails does not stop the pipeline: the record of the part names it, and the merge tells it. A part
    // that was killed has not attempted all its cases: its record is not complete, and the task is retried.
    // Nextflow itself escapes spaces in the name of the archive: no quotes around it.
    script:
    """
    export OMP_NUM_THREADS=${task.cpus}
    prostate-seg segment ${archive} -o "part-${part}" --part "${part}/${params.parts}" ${params.options} \\
        || grep -q '"complete": true' "part-${part}/part-${part}-of-${params.parts}.json"
    """
}

process MERGE {
    publishDir params.outdir, mode: 'copy'

    input:
    path parts

    output:
    path 'all'

    // Failed cases are told in all/merged.json and in the log of this task.
    script:
    """
    prostate-seg merge ${parts} -o all || test -f all/merged.json
    """
}

workflow {
    if (!params.archive) {
        error 'Give the folder or zip with the images: --archive ARCHIVE'
    }
    archive = file(params.archive, checkIfExists: true)
    numbers = channel.of(1..params.parts)
    SEGMENT(numbers.map { number -> tuple(number, archive) })
    MERGE(SEGMENT.out.collect())
}
